#include "seer/hwmon/hw_exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/core/wire.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::string_view kRequestMagic = "SeHq";
constexpr std::string_view kAnswerMagic = "SeHa";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kMaxText = 4096;  // of a name or a message

template <typename T>
void Put(T value, std::string* bytes) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  bytes->append(raw, sizeof(T));
}

void PutString(std::string_view text, std::string* bytes) {
  Put(static_cast<std::uint32_t>(text.size()), bytes);
  bytes->append(text.data(), text.size());
}

std::string Sealed(std::string_view magic, const std::string& body) {
  std::string bytes(magic);
  Put(kVersion, &bytes);
  Put(internal::Crc32c(body), &bytes);
  return bytes + body;
}

class Fields {
 public:
  static absl::StatusOr<Fields> Open(const char* what, std::string_view magic, std::size_t most,
                                     std::string_view bytes) {
    if (bytes.size() < kHeaderBytes || bytes.substr(0, magic.size()) != magic) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": not the bytes of one: send what its Encode function gives"));
    }
    if (bytes.size() > most) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": ", bytes.size(), " bytes are more than any has: send one"));
    }
    std::uint32_t version = 0, crc = 0;
    std::memcpy(&version, bytes.data() + 4, sizeof(version));
    std::memcpy(&crc, bytes.data() + 8, sizeof(crc));
    if (version > kVersion) {
      return absl::UnimplementedError(absl::StrCat(what, ".version: ", version, " is newer than ",
                                                   kVersion,
                                                   ", the newest known here: update this side"));
    }
    bytes.remove_prefix(kHeaderBytes);
    if (internal::Crc32c(bytes) != crc) {
      return absl::DataLossError(absl::StrCat(what, ": damaged on the way (checksum): send again"));
    }
    return Fields(what, bytes);
  }

  template <typename T>
  absl::Status Number(const char* field, T* value) {
    if (bytes_.size() < sizeof(T)) return Error(field, "is cut off");
    std::memcpy(value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return absl::OkStatus();
  }
  absl::Status String(const char* field, std::size_t most, std::string_view* value) {
    std::uint32_t size = 0;
    SEER_RETURN_IF_ERROR(Number(field, &size));
    if (size > most) return Error(field, "is longer than it may be");
    if (size > bytes_.size()) return Error(field, "is cut off");
    *value = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return absl::OkStatus();
  }
  absl::Status Error(const char* field, const char* what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(what_, ".", field, ": ", what, ": send what the Encode function gives"));
  }

 private:
  Fields(const char* what, std::string_view bytes) : what_(what), bytes_(bytes) {}
  const char* what_;
  std::string_view bytes_;  // later versions may have more behind what we know
};

}  // namespace

std::string EncodeHwRequest(const HwRequest& request) {
  const HwTarget& target = request.target;
  std::string body;
  Put(request.id, &body);
  Put(static_cast<std::uint8_t>(target.kind), &body);
  Put(target.pid, &body);
  Put(target.start_time, &body);
  PutString(std::string_view(target.cgroup).substr(0, kMaxText), &body);
  Put(target.instance.valid() ? target.instance.value() + 1 : 0u, &body);
  PutString(std::string_view(target.origin.node).substr(0, kMaxText / 2), &body);
  Put(target.origin.epoch, &body);
  Put(target.origin.topology_version, &body);
  return Sealed(kRequestMagic, body);
}

absl::StatusOr<HwRequest> DecodeHwRequest(std::string_view bytes) {
  SEER_ASSIGN_OR_RETURN(Fields fields,
                        Fields::Open("HwRequest", kRequestMagic, kMaxHwRequestBytes, bytes));
  HwRequest request;
  HwTarget& target = request.target;
  std::uint8_t kind = 0;
  std::uint32_t instance = 0;
  std::string_view text;
  SEER_RETURN_IF_ERROR(fields.Number("id", &request.id));
  SEER_RETURN_IF_ERROR(fields.Number("target.kind", &kind));
  SEER_RETURN_IF_ERROR(fields.Number("target.pid", &target.pid));
  SEER_RETURN_IF_ERROR(fields.Number("target.start_time", &target.start_time));
  SEER_RETURN_IF_ERROR(fields.String("target.cgroup", kMaxText, &text));
  target.cgroup = std::string(text);
  SEER_RETURN_IF_ERROR(fields.Number("target.instance", &instance));
  SEER_RETURN_IF_ERROR(fields.String("target.origin.node", kMaxText / 2, &text));
  target.origin.node = std::string(text);
  SEER_RETURN_IF_ERROR(fields.Number("target.origin.epoch", &target.origin.epoch));
  SEER_RETURN_IF_ERROR(
      fields.Number("target.origin.topology_version", &target.origin.topology_version));
  if (kind > static_cast<std::uint8_t>(HwTarget::Kind::kCgroup)) {
    return fields.Error("target.kind", "is none that is known");
  }
  target.kind = static_cast<HwTarget::Kind>(kind);
  if (instance != 0) target.instance = InstanceId(instance - 1);
  SEER_RETURN_IF_ERROR(CheckTarget(target));
  return request;
}

std::string EncodeHwAnswer(const HwAnswer& answer) {
  std::string body;
  Put(answer.id, &body);
  Put(static_cast<std::uint32_t>(answer.status.code()), &body);
  PutString(internal::ToStd(answer.status.message()).substr(0, kMaxText), &body);
  PutString(answer.status.ok() ? Encode(answer.reading) : std::string(), &body);
  return Sealed(kAnswerMagic, body);
}

absl::StatusOr<HwAnswer> DecodeHwAnswer(std::string_view bytes) {
  SEER_ASSIGN_OR_RETURN(Fields fields,
                        Fields::Open("HwAnswer", kAnswerMagic, kMaxHwAnswerBytes, bytes));
  HwAnswer answer;
  std::uint32_t code = 0;
  std::string_view message, reading;
  SEER_RETURN_IF_ERROR(fields.Number("id", &answer.id));
  SEER_RETURN_IF_ERROR(fields.Number("status.code", &code));
  SEER_RETURN_IF_ERROR(fields.String("status.message", kMaxText, &message));
  SEER_RETURN_IF_ERROR(fields.String("reading", kMaxHwAnswerBytes, &reading));
  if (code > static_cast<std::uint32_t>(absl::StatusCode::kUnauthenticated)) {
    return fields.Error("status.code", "is none that is known");
  }
  answer.status = absl::Status(static_cast<absl::StatusCode>(code), internal::ToAbsl(message));
  if (answer.status.ok()) SEER_RETURN_IF_ERROR(DecodeTo(reading, &answer.reading));
  return answer;
}

std::string AnswerHwRequest(HwMonitor& monitor, std::string_view request) {
  HwAnswer answer;
  absl::StatusOr<HwRequest> decoded = DecodeHwRequest(request);
  if (decoded.ok()) {
    answer.id = decoded->id;
    answer.status = ReadGuarded(monitor, decoded->target, &answer.reading);
  } else {
    answer.status = decoded.status();
  }
  return EncodeHwAnswer(answer);
}

SEER_END_NAMESPACE
