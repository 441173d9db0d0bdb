#include "dataset/scan.h"

#include <optional>

SEER_BEGIN_NAMESPACE
namespace internal {

absl::Status CheckFileRecord(const std::string& path, std::string_view file) {
  const std::optional<RecordHeader> header = ReadRecordHeader(file, 0);
  if (!header || header->kind != RecordKind::kFile || !RecordBodyIsSound(file, *header)) {
    return absl::InvalidArgumentError(
        path + " is no dataset of seer: make one with `seer import` or DatasetWriter");
  }
  FieldReader body(file.substr(kRecordHeaderBytes, header->body_bytes));
  const std::int64_t major = body.Number();
  if (!body.ok() || major != kDatasetMajor) {
    return absl::UnimplementedError(path + " has the format version " + std::to_string(major) +
                                    ", which this seer does not know: update seer");
  }
  return absl::OkStatus();
}

void ScanRecords(std::string_view file, const std::function<void(const RecordHeader&)>& found,
                 const std::function<void(std::uint64_t, std::uint64_t)>& damaged) {
  std::uint64_t offset = 0;
  std::uint64_t damage = 0;  // where it began, if offset > damage
  while (offset < file.size()) {
    const std::optional<RecordHeader> header = ReadRecordHeader(file, offset);
    const bool fits = header && header->end() <= file.size();
    const bool is_last = fits && header->end() == file.size();
    if (!fits || (is_last && !RecordBodyIsSound(file, *header))) {
      offset += kRecordAlignment;
      continue;
    }
    if (offset > damage) damaged(damage, offset - damage);
    found(*header);
    offset = damage = header->end();
  }
  if (file.size() > damage) damaged(damage, file.size() - damage);
}

}  // namespace internal
SEER_END_NAMESPACE
