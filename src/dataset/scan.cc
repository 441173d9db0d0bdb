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
  // Looking whether the last record is whole reads it to the end of the file. Where headers stand
  // in the body of one that is not, and each says that it is the last, that ends after a few.
  constexpr int kMaxTornEnds = 16;
  int torn_ends = 0;
  std::uint64_t offset = 0;
  std::uint64_t damage = 0;  // where it began, if offset > damage
  while (offset < file.size()) {
    const std::optional<RecordHeader> header = ReadRecordHeader(file, offset);
    const bool fits = header && header->end() <= file.size();
    const bool is_last = fits && header->end() == file.size();
    const bool torn = is_last && (torn_ends == kMaxTornEnds || !RecordBodyIsSound(file, *header));
    if (!fits || torn) {
      torn_ends += torn && torn_ends < kMaxTornEnds ? 1 : 0;
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
