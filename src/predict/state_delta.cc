#include "seer/predict/state_delta.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr char kMark[] = "SEERDELT";
constexpr std::size_t kMarkBytes = 8, kChecksumAt = 60;
constexpr std::uint16_t kVersion = 1;

template <typename T>
void PutAt(std::size_t at, T value, std::string* bytes) {
  std::memcpy(&(*bytes)[at], &value, sizeof(T));
}
template <typename T>
T GetAt(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

}  // namespace

std::string EncodeDelta(const StateDelta& delta) {
  if (delta.payload.size() > StateDelta::kMostPayload) return "";
  std::string bytes(StateDelta::kHeaderBytes, '\0');
  bytes.reserve(bytes.size() + delta.payload.size());
  std::memcpy(&bytes[0], kMark, kMarkBytes);
  PutAt(8, kVersion, &bytes);
  PutAt(10, static_cast<std::uint8_t>(delta.kind), &bytes);
  PutAt(12, static_cast<std::uint32_t>(delta.payload.size()), &bytes);
  PutAt(16, delta.stream, &bytes);
  PutAt(24, delta.term, &bytes);
  PutAt(32, delta.sequence, &bytes);
  PutAt(40, delta.time_ns, &bytes);
  PutAt(48, delta.previous, &bytes);
  PutAt(52, delta.forecast, &bytes);
  const std::uint32_t head = internal::Crc32c(std::string_view(bytes).substr(0, kChecksumAt));
  PutAt(kChecksumAt, internal::Crc32c(delta.payload, head), &bytes);
  bytes += delta.payload;
  return bytes;
}

absl::StatusOr<std::size_t> PeekDelta(std::string_view bytes) {
  if (bytes.size() < StateDelta::kHeaderBytes) {
    return absl::OutOfRangeError(
        absl::StrCat("delta: ", bytes.size(), " of its first 64 bytes: read more"));
  }
  if (std::memcmp(bytes.data(), kMark, kMarkBytes) != 0) {
    return absl::InvalidArgumentError("delta: does not begin with its mark: send deltas only");
  }
  const auto version = GetAt<std::uint16_t>(bytes, 8);
  if (version != kVersion) {
    return absl::UnimplementedError(absl::StrCat("delta: version ", version, ", this seer reads ",
                                                 kVersion, ": use one seer in all mirrors"));
  }
  const auto payload = GetAt<std::uint32_t>(bytes, 12);
  if (payload > StateDelta::kMostPayload) {
    return absl::InvalidArgumentError(
        absl::StrCat("delta: a payload of ", payload, " bytes: at most 2^30 are possible"));
  }
  return StateDelta::kHeaderBytes + payload;
}

absl::StatusOr<StateDelta> DecodeDelta(std::string_view bytes) {
  const absl::StatusOr<std::size_t> size = PeekDelta(bytes);
  if (absl::IsOutOfRange(size.status())) {
    return absl::DataLossError("delta: its header is cut off: send it again");
  }
  SEER_RETURN_IF_ERROR(size.status());
  if (*size != bytes.size()) {
    return absl::DataLossError(
        absl::StrCat("delta: has ", bytes.size(), " bytes instead of ", *size, ": send it again"));
  }
  const std::string_view payload = bytes.substr(StateDelta::kHeaderBytes);
  const std::uint32_t head = internal::Crc32c(bytes.substr(0, kChecksumAt));
  if (GetAt<std::uint32_t>(bytes, kChecksumAt) != internal::Crc32c(payload, head)) {
    return absl::DataLossError("delta: its checksum is wrong: send it again");
  }
  StateDelta delta;
  const auto kind = GetAt<std::uint8_t>(bytes, 10);
  const bool bare = kind == static_cast<std::uint8_t>(DeltaKind::kTakeOver) ||
                    kind == static_cast<std::uint8_t>(DeltaKind::kAdvance);
  if (kind < 1 || kind > 5 || GetAt<std::uint8_t>(bytes, 11) != 0 ||
      GetAt<std::uint32_t>(bytes, 56) != 0 || (bare && !payload.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat("delta: kind ", kind, " is not one of this version: use one seer"));
  }
  const auto time_ns = GetAt<std::int64_t>(bytes, 40);
  if (time_ns > StateDelta::kLatestNs || time_ns < -StateDelta::kLatestNs / 2) {
    return absl::InvalidArgumentError("delta: its time is nobody's: check the primary's clock");
  }
  delta.kind = static_cast<DeltaKind>(kind);
  delta.stream = GetAt<std::uint64_t>(bytes, 16);
  delta.term = GetAt<std::uint64_t>(bytes, 24);
  delta.sequence = GetAt<std::uint64_t>(bytes, 32);
  delta.time_ns = time_ns;
  delta.previous = GetAt<std::uint32_t>(bytes, 48);
  delta.forecast = GetAt<std::uint32_t>(bytes, 52);
  delta.payload = std::string(payload);
  return delta;
}

SEER_END_NAMESPACE
