// Finds the records of a file, also behind damaged bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "dataset/record.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// InvalidArgument if the file does not begin as a dataset does, Unimplemented if it is of a newer
// major version.
absl::Status CheckFileRecord(const std::string& path, std::string_view file);

// Calls `found` for each record whose header is sound and whose body lies in the file, by offset,
// and `damaged` for the bytes between and behind them. Only the last record's body is read: the
// recorder may have died there. O(records), plus the damaged bytes.
void ScanRecords(std::string_view file, const std::function<void(const RecordHeader&)>& found,
                 const std::function<void(std::uint64_t offset, std::uint64_t bytes)>& damaged);

}  // namespace internal
SEER_END_NAMESPACE
