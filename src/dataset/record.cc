#include "dataset/record.h"

#include <cmath>
#include <vector>

#include "seer/core/internal/crc32c.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::uint32_t kMagic = 0x44726553;  // "SerD"
constexpr std::size_t kCrcAt = 60;

template <typename T>
void Put(char* at, T value) {
  std::memcpy(at, &value, sizeof(value));  // little-endian, see core/config.h
}
template <typename T>
T Take(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace

std::string MakeRecord(RecordHeader header, std::string_view body) {
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  std::string record(header.end() - header.offset, '\0');
  char* const at = record.data();
  Put(at, kMagic);
  Put(at + 4, static_cast<std::uint8_t>(header.kind));
  Put(at + 8, header.run);
  Put(at + 12, header.ticks);
  Put(at + 16, header.first);
  Put(at + 24, header.last);
  Put(at + 32, header.body_bytes);
  Put(at + 36, Crc32c(body));
  Put(at + 40, header.offset);
  Put(at + kCrcAt, Crc32c(std::string_view(at, kCrcAt)));
  if (!body.empty()) std::memcpy(at + kRecordHeaderBytes, body.data(), body.size());
  return record;
}

std::optional<RecordHeader> ReadRecordHeader(std::string_view file, std::uint64_t offset) {
  if (offset > file.size() || file.size() - offset < kRecordHeaderBytes) return std::nullopt;
  const char* const at = file.data() + offset;
  if (Take<std::uint32_t>(at) != kMagic) return std::nullopt;
  if (Take<std::uint32_t>(at + kCrcAt) != Crc32c(std::string_view(at, kCrcAt))) return std::nullopt;
  RecordHeader header;
  header.kind = static_cast<RecordKind>(Take<std::uint8_t>(at + 4));
  header.run = Take<std::uint32_t>(at + 8);
  header.ticks = Take<std::uint32_t>(at + 12);
  header.first = Take<std::int64_t>(at + 16);
  header.last = Take<std::int64_t>(at + 24);
  header.body_bytes = Take<std::uint32_t>(at + 32);
  header.body_crc = Take<std::uint32_t>(at + 36);
  header.offset = Take<std::uint64_t>(at + 40);
  // A record of another place (an old end of the file that was cut and overwritten) is none.
  if (header.offset != offset || header.body_bytes > kMaxRecordBody) return std::nullopt;
  return header;
}

bool RecordBodyIsSound(std::string_view file, const RecordHeader& header) {
  if (header.end() > file.size()) return false;
  return Crc32c(file.substr(header.offset + kRecordHeaderBytes, header.body_bytes)) ==
         header.body_crc;
}

std::string EncodeEvent(const DatasetEvent& event) {
  FieldWriter out;
  out.Number(static_cast<std::int64_t>(event.kind));
  out.Number(event.start_ns);
  out.Number(event.end_ns);
  out.String(event.request_class);
  out.Number(static_cast<std::int64_t>(event.initiation));
  out.String(event.culprit);
  std::uint32_t bits;
  std::memcpy(&bits, &event.confidence, sizeof(bits));
  out.Number(bits);
  out.String(event.cause);
  out.String(event.source);
  return out.bytes();
}

std::optional<DatasetEvent> DecodeEvent(std::string_view bytes) {
  FieldReader in(bytes);
  DatasetEvent event;
  const std::int64_t kind = in.Number();
  event.start_ns = in.Number();
  event.end_ns = in.Number();
  event.request_class = in.String();
  const std::int64_t initiation = in.Number();
  event.culprit = in.String();
  const auto bits = static_cast<std::uint32_t>(in.Number());
  std::memcpy(&event.confidence, &bits, sizeof(bits));
  event.cause = in.String();
  event.source = in.String();
  if (!in.ok() || !(event.confidence >= 0 && event.confidence <= 1)) return std::nullopt;
  // Kinds of a newer minor version.
  event.kind = kind >= 0 && kind <= static_cast<int>(DatasetEventKind::kOther)
                   ? static_cast<DatasetEventKind>(kind)
                   : DatasetEventKind::kOther;
  event.initiation = initiation >= 0 && initiation <= static_cast<int>(Initiation::kLoad)
                         ? static_cast<Initiation>(initiation)
                         : Initiation::kUnknown;
  return event;
}

std::string EncodeRun(const DatasetRun& run) {
  FieldWriter out;
  out.Number(run.period.ns());
  out.String(run.name);
  out.String(run.provenance.source);
  out.String(run.provenance.licence);
  out.String(run.provenance.tool);
  out.String(run.provenance.note);
  return out.bytes();
}

std::optional<DatasetRun> DecodeRun(std::string_view bytes) {
  FieldReader in(bytes);
  DatasetRun run;
  const absl::StatusOr<TickPeriod> period = TickPeriod::FromNs(in.Number());
  run.name = in.String();
  run.provenance.source = in.String();
  run.provenance.licence = in.String();
  run.provenance.tool = in.String();
  run.provenance.note = in.String();
  if (!in.ok() || !period.ok()) return std::nullopt;
  run.period = *period;
  return run;
}

std::string EncodeSplit(const std::vector<SplitRange>& split) {
  FieldWriter out;
  out.Number(static_cast<std::int64_t>(split.size()));
  for (const SplitRange& range : split) {
    out.Number(static_cast<std::int64_t>(range.part));
    out.Number(range.run);
    out.Number(range.from);
    out.Number(range.to);
  }
  return out.bytes();
}

std::optional<std::vector<SplitRange>> DecodeSplit(std::string_view bytes) {
  FieldReader in(bytes);
  const std::int64_t count = in.Number();
  if (!in.ok() || count < 0 || static_cast<std::uint64_t>(count) > in.left() / 32) {
    return std::nullopt;
  }
  std::vector<SplitRange> split;
  for (std::int64_t i = 0; i < count; ++i) {
    SplitRange range;
    const std::int64_t part = in.Number();
    range.run = static_cast<std::uint32_t>(in.Number());
    range.from = in.Number();
    range.to = in.Number();
    if (part < 0 || part > static_cast<int>(SplitPart::kTest)) return std::nullopt;
    range.part = static_cast<SplitPart>(part);
    split.push_back(range);
  }
  return split;
}

}  // namespace internal
SEER_END_NAMESPACE
