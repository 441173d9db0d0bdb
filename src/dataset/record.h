// Records: what a dataset file is a sequence of. The bytes are described in
// include/seer/dataset/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "seer/core/config.h"
#include "seer/core/tick.h"
#include "seer/dataset/manifest.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr int kDatasetMajor = 1;
inline constexpr int kDatasetMinor = 1;
inline constexpr std::size_t kRecordHeaderBytes = 64;
inline constexpr std::size_t kRecordAlignment = 8;
inline constexpr std::size_t kMaxRecordBody = std::size_t{1} << 30;

enum class RecordKind : std::uint8_t {
  kFile = 1,
  kRunBegin = 2,
  kTopology = 3,
  kTicks = 4,
  kEvent = 5,
  kRunEnd = 6,
  kSplit = 7,
};

struct RecordHeader {
  RecordKind kind = RecordKind::kFile;
  std::uint32_t run = 0;
  std::uint32_t ticks = 0;  // kTicks
  std::int64_t first = 0;   // kTicks: first tick; kTopology: epoch
  std::int64_t last = 0;    // kTicks: last tick; kTopology: version
  std::uint32_t body_bytes = 0;
  std::uint32_t body_crc = 0;
  std::uint64_t offset = 0;  // where the record stands in the file

  std::uint64_t end() const {
    const std::uint64_t bytes = kRecordHeaderBytes + body_bytes;
    return offset + (bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
  }
};

// Header, body, and zeros up to the next record.
std::string MakeRecord(RecordHeader header, std::string_view body);
// The header that stands at `offset` of the file; nothing where there is no sound one.
std::optional<RecordHeader> ReadRecordHeader(std::string_view file, std::uint64_t offset);
// Whether the body lies in the file and its checksum holds.
bool RecordBodyIsSound(std::string_view file, const RecordHeader& header);

// Fields of a small record, one after the other: numbers of 8 bytes, strings with their length.
// A reader of an older minor version stops before fields that it does not know.
class FieldWriter {
 public:
  void Number(std::int64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void String(std::string_view text) {
    Number(static_cast<std::int64_t>(text.size()));
    bytes_.append(text.data() == nullptr ? "" : text.data(), text.size());
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}
  std::int64_t Number() {
    std::int64_t value = 0;
    if (bytes_.size() < sizeof(value)) {
      ok_ = false;
      return 0;
    }
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
    return value;
  }
  std::string String() {
    const std::int64_t size = Number();
    if (!ok_ || size < 0 || static_cast<std::uint64_t>(size) > bytes_.size()) {
      ok_ = false;
      return {};
    }
    std::string text(bytes_.substr(0, static_cast<std::size_t>(size)));
    bytes_.remove_prefix(static_cast<std::size_t>(size));
    return text;
  }
  bool ok() const { return ok_; }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

std::string EncodeEvent(const DatasetEvent& event);
std::optional<DatasetEvent> DecodeEvent(std::string_view bytes);
std::string EncodeRun(const DatasetRun& run);
std::optional<DatasetRun> DecodeRun(std::string_view bytes);
std::string EncodeSplit(const std::vector<SplitRange>& split);
std::optional<std::vector<SplitRange>> DecodeSplit(std::string_view bytes);

}  // namespace internal
SEER_END_NAMESPACE
