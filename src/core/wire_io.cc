#include "core/wire_io.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "absl/strings/str_cat.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::string_view kMagic = "SEER";
constexpr std::size_t kBodySizeAt = 8;
constexpr std::size_t kChecksumAt = 12;
constexpr std::size_t kSectionHeaderBytes = 8;
constexpr std::size_t kMaxBodyBytes = 0xffffffffu;  // what the header can say

template <typename T>
T LoadNumber(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

template <typename T>
void StoreNumber(T value, char* bytes) {
  std::memcpy(bytes, &value, sizeof(T));
}

// Of the whole message but the checksum itself.
std::uint32_t Checksum(std::string_view message) {
  return internal::Crc32c(message.substr(kWireHeaderBytes),
                          internal::Crc32c(message.substr(0, kChecksumAt)));
}

// The compiler turns these loops into SIMD code when it knows their length: full blocks pass a
// constant.
template <typename Narrow>
void NarrowBlock(const std::uint32_t* from, std::size_t count, char* to) {
  for (std::size_t i = 0; i < count; ++i) {
    StoreNumber(static_cast<Narrow>(from[i]), to + i * sizeof(Narrow));
  }
}

// Numbers that are known to fit into a byte: the usual case by far.
void NarrowBlockToBytes(const std::uint32_t* from, std::size_t count, char* to) {
  std::size_t i = 0;
#if defined(__SSE2__)
  // The packs saturate, which the compiler cannot know to be harmless here: 3 of them for 16
  // numbers instead of 14 instructions.
  const auto load = [from](std::size_t at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
  };
  for (; i + 16 <= count; i += 16) {
    const __m128i low = _mm_packs_epi32(load(i), load(i + 4));
    const __m128i high = _mm_packs_epi32(load(i + 8), load(i + 12));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_packus_epi16(low, high));
  }
#endif
  NarrowBlock<std::uint8_t>(from + i, count - i, to + i);
}

template <typename Narrow>
void WidenBlock(const char* from, std::size_t count, std::uint32_t* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = LoadNumber<Narrow>(from + i * sizeof(Narrow));
}

// All bits that occur in the numbers.
std::uint32_t BitsOf(const std::uint32_t* values, std::size_t count) {
  // Sixteen lanes: one alone is a loop of five instructions whose speed depends on where the linker
  // puts it (30 % of the time to encode).
  std::uint32_t lanes[16] = {};
  const std::size_t whole = count - count % 16;
  for (std::size_t i = 0; i < whole; i += 16) {
    for (std::size_t lane = 0; lane < 16; ++lane) lanes[lane] |= values[i + lane];
  }
  std::uint32_t all = 0;
  for (std::size_t i = whole; i < count; ++i) all |= values[i];
  for (const std::uint32_t lane : lanes) all |= lane;
  return all;
}

// Bytes written.
std::size_t EncodeBlock(const std::uint32_t* values, std::size_t count, char* to) {
  const std::uint32_t all = BitsOf(values, count);
  const std::size_t width = all < 0x100 ? 1 : all < 0x10000 ? 2 : 4;
  *to++ = static_cast<char>(width);
  switch (width) {
    case 1:
      NarrowBlockToBytes(values, count, to);
      break;
    case 2:
      NarrowBlock<std::uint16_t>(values, count, to);
      break;
    default:
      NarrowBlock<std::uint32_t>(values, count, to);
      break;
  }
  return 1 + count * width;
}

void DecodeBlock(const char* from, std::size_t width, std::size_t count, std::uint32_t* to) {
  switch (width) {
    case 1:
      WidenBlock<std::uint8_t>(from, count, to);
      break;
    case 2:
      WidenBlock<std::uint16_t>(from, count, to);
      break;
    default:
      WidenBlock<std::uint32_t>(from, count, to);
      break;
  }
}

}  // namespace

std::string_view WireKindName(WireKind kind) {
  switch (kind) {
    case WireKind::kTopology:
      return "Topology";
    case WireKind::kSnapshot:
      return "Snapshot";
    case WireKind::kSpanBatch:
      return "SpanBatch";
    case WireKind::kHwReading:
      return "HwReading";
    case WireKind::kRecommendation:
      return "Recommendation";
    case WireKind::kActionTaken:
      return "ActionTaken";
  }
  return "?";
}

absl::StatusOr<WireHeader> PeekWire(std::string_view bytes) {
  if (bytes.substr(0, kMagic.size()) != kMagic.substr(0, bytes.size())) {
    return absl::InvalidArgumentError(
        "header.magic: does not start with \"SEER\"; this is no message of seer");
  }
  if (bytes.size() < kWireHeaderBytes) {
    return absl::OutOfRangeError(absl::StrCat("header: has ", bytes.size(), " of its ",
                                              kWireHeaderBytes, " bytes; read more"));
  }
  WireHeader header;
  header.major = LoadNumber<std::uint8_t>(&bytes[4]);
  header.minor = LoadNumber<std::uint8_t>(&bytes[5]);
  header.kind = static_cast<WireKind>(bytes[6]);
  header.message_bytes =
      kWireHeaderBytes + std::size_t{LoadNumber<std::uint32_t>(&bytes[kBodySizeAt])};
  if (header.major != kWireMajor) {
    return absl::UnimplementedError(absl::StrCat(
        "header.version: the message has wire version ", header.major, ".", header.minor,
        " and this library reads ", kWireMajor, ".x; update the older side"));
  }
  if (WireKindName(header.kind) == "?" || bytes[7] != 0) {
    return absl::UnimplementedError(absl::StrCat("header.kind: ", static_cast<int>(header.kind),
                                                 " with flags ", static_cast<int>(bytes[7]),
                                                 " is unknown to this version; update this side"));
  }
  return header;
}

namespace internal {

WireWriter::WireWriter(WireKind kind, std::string* out) : kind_(kind), out_(out) {
  Claim(kWireHeaderBytes);
}

void WireWriter::Grow(std::size_t bytes) {
  out_->resize(std::max(used_ + bytes, out_->size() + out_->size() / 2));
}

void WireWriter::Reserve(std::size_t bytes) {
  if (out_->size() < used_ + bytes) out_->resize(used_ + bytes);
}

void WireWriter::Section(std::uint32_t tag) {
  CloseSection();
  section_ = used_;
  Number(tag);
  Number(std::uint32_t{0});  // the size, filled in when it is known
}

void WireWriter::CloseSection() {
  if (section_ == 0) return;
  StoreNumber(static_cast<std::uint32_t>(used_ - section_ - kSectionHeaderBytes),
              &(*out_)[section_ + 4]);
}

void WireWriter::String(std::string_view s) {
  Number(static_cast<std::uint32_t>(s.size()));
  Numbers(s.data(), s.size());
}

void WireWriter::Column(const std::uint32_t* values, std::size_t count) {
  const std::size_t blocks = (count + kColumnBlock - 1) / kColumnBlock;
  char* const start = Claim(blocks + count * sizeof(std::uint32_t));
  char* to = start;
  std::size_t i = 0;
  for (; i + kColumnBlock <= count; i += kColumnBlock) {
    to += EncodeBlock(values + i, kColumnBlock, to);
  }
  if (i < count) to += EncodeBlock(values + i, count - i, to);
  used_ = static_cast<std::size_t>(to - out_->data());
}

void WireWriter::Origin(const seer::Origin& origin) {
  String(origin.node);
  Number(origin.epoch);
  Number(origin.topology_version);
}

void WireWriter::Finish() {
  CloseSection();
  if (used_ - kWireHeaderBytes > kMaxBodyBytes) {
    out_->clear();  // see EncodeTo()
    return;
  }
  out_->resize(used_);
  char* const header = &(*out_)[0];
  std::copy(kMagic.begin(), kMagic.end(), header);
  header[4] = static_cast<char>(kWireMajor);
  header[5] = static_cast<char>(kWireMinor);
  header[6] = static_cast<char>(kind_);
  header[7] = 0;  // flags; a reader must know each one that is set
  StoreNumber(static_cast<std::uint32_t>(used_ - kWireHeaderBytes), header + kBodySizeAt);
  StoreNumber(Checksum(*out_), header + kChecksumAt);
}

absl::Status WireReader::Error(const char* field, std::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(section_, ".", field, ": ", ToAbsl(what)));
}

absl::Status WireReader::Need(const char* field, std::size_t count, std::size_t size) const {
  // Division, as the product can overflow.
  if (count <= bytes_.size() / size) return absl::OkStatus();
  return Error(field, absl::StrCat("needs ", count, " x ", size, " bytes and ", bytes_.size(),
                                   " are left; the sender's lengths contradict each other"));
}

absl::Status WireReader::String(const char* field, std::string* value) {
  std::uint32_t size = 0;
  SEER_RETURN_IF_ERROR(Number(field, &size));
  SEER_RETURN_IF_ERROR(Need(field, size, 1));
  value->assign(bytes_.data(), size);
  bytes_.remove_prefix(size);
  return absl::OkStatus();
}

absl::Status WireReader::Records(const char* field, std::size_t count, std::size_t record_bytes,
                                 std::size_t known_bytes, void* to) {
  SEER_RETURN_IF_ERROR(Need(field, count, record_bytes));
  if (count == 0) return absl::OkStatus();  // `to` may be null
  if (record_bytes == known_bytes) {
    std::memcpy(to, bytes_.data(), count * record_bytes);
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(static_cast<char*>(to) + i * known_bytes, bytes_.data() + i * record_bytes,
                  known_bytes);
    }
  }
  bytes_.remove_prefix(count * record_bytes);
  return absl::OkStatus();
}

absl::Status WireReader::Column(const char* field, std::size_t count,
                                std::vector<std::uint32_t>* values) {
  // First whether all of it is there, then the memory for it.
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; i += kColumnBlock) {
    if (at >= bytes_.size()) {
      return Error(field, absl::StrCat("ends after ", i, " of its ", count,
                                       " numbers; the sender's lengths contradict each other"));
    }
    const auto width = static_cast<std::uint8_t>(bytes_[at]);
    if (width != 1 && width != 2 && width != 4) {
      return Error(field, absl::StrCat("block ", i / kColumnBlock, " has numbers of ", width,
                                       " bytes; 1, 2 and 4 exist"));
    }
    at += 1 + std::min(kColumnBlock, count - i) * width;
  }
  SEER_RETURN_IF_ERROR(Need(field, at, 1));

  values->resize(count);
  std::uint32_t* const to = values->data();
  const char* from = bytes_.data();
  std::size_t i = 0;
  for (; i + kColumnBlock <= count; i += kColumnBlock) {
    const auto width = static_cast<std::uint8_t>(*from);
    DecodeBlock(from + 1, width, kColumnBlock, to + i);
    from += 1 + kColumnBlock * width;
  }
  if (i < count) DecodeBlock(from + 1, static_cast<std::uint8_t>(*from), count - i, to + i);
  bytes_.remove_prefix(at);
  return absl::OkStatus();
}

absl::Status WireReader::Origin(seer::Origin* origin) {
  SEER_RETURN_IF_ERROR(String("origin.node", &origin->node));
  SEER_RETURN_IF_ERROR(Number("origin.epoch", &origin->epoch));
  return Number("origin.topology_version", &origin->topology_version);
}

absl::Status WireReader::Count(const char* field, std::size_t min_bytes, std::size_t max,
                               std::size_t* count) {
  std::uint32_t claimed = 0;
  SEER_RETURN_IF_ERROR(Number(field, &claimed));
  if (claimed > max) {
    return Error(field, absl::StrCat(claimed, " rows; at most ", max, " are allowed"));
  }
  SEER_RETURN_IF_ERROR(Need(field, claimed, min_bytes));
  *count = claimed;
  return absl::OkStatus();
}

absl::StatusOr<WireSections> WireSections::Parse(WireKind kind, std::string_view message) {
  absl::StatusOr<WireHeader> header = PeekWire(message);
  if (absl::IsOutOfRange(header.status())) {
    return absl::DataLossError(absl::StrCat("header: the message is cut after ", message.size(),
                                            " of its ", kWireHeaderBytes, " header bytes"));
  }
  SEER_RETURN_IF_ERROR(header.status());
  const absl::string_view name = ToAbsl(WireKindName(kind));
  if (header->kind != kind) {
    return absl::InvalidArgumentError(absl::StrCat("header.kind: the message is a ",
                                                   ToAbsl(WireKindName(header->kind)), ", not a ",
                                                   name, "; ask PeekWire() first"));
  }
  if (message.size() < header->message_bytes) {
    return absl::DataLossError(absl::StrCat(name, ": the message is cut after ", message.size(),
                                            " of its ", header->message_bytes, " bytes"));
  }
  if (message.size() > header->message_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", message.size() - header->message_bytes,
                     " bytes follow the message; split the stream with PeekWire().message_bytes"));
  }
  if (LoadNumber<std::uint32_t>(&message[kChecksumAt]) != Checksum(message)) {
    return absl::DataLossError(
        absl::StrCat(name, ": header.checksum does not match; the message was damaged"));
  }

  WireSections sections;
  std::string_view rest = message.substr(kWireHeaderBytes);
  while (!rest.empty()) {
    if (rest.size() < kSectionHeaderBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": a section header is cut after ", rest.size(), " bytes"));
    }
    const auto tag = LoadNumber<std::uint32_t>(rest.data());
    const auto size = LoadNumber<std::uint32_t>(rest.data() + 4);
    rest.remove_prefix(kSectionHeaderBytes);
    if (size > rest.size()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": section ", tag, " claims ", size,
                                                     " bytes and ", rest.size(), " are left"));
    }
    if (tag < kMaxTag) {  // others are a newer version's
      if (sections.Has(tag)) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": section ", tag, " is there twice; send it once"));
      }
      sections.sections_[tag] = rest.substr(0, size);
    }
    rest.remove_prefix(size);
  }
  return sections;
}

}  // namespace internal
SEER_END_NAMESPACE
