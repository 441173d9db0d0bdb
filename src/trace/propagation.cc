#include "seer/trace/propagation.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "trace/hex.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::ReadHex16;
using internal::WriteHex16;

constexpr std::uint8_t kKnownFlags = TraceContext::kSampled | TraceContext::kRandomId;
constexpr std::uint8_t kBadDigit = 0xff;

constexpr std::array<std::uint8_t, 256> DigitValues() {
  std::array<std::uint8_t, 256> values = {};
  for (std::size_t c = 0; c < values.size(); ++c) values[c] = kBadDigit;
  for (std::size_t d = 0; d < 10; ++d) values['0' + d] = static_cast<std::uint8_t>(d);
  for (std::size_t d = 10; d < 16; ++d) {
    values['a' + d - 10] = values['A' + d - 10] = static_cast<std::uint8_t>(d);
  }
  return values;
}
constexpr std::array<std::uint8_t, 256> kDigits = DigitValues();

// Up to 16 digits, of either case.
template <typename Number>
bool ReadAnyHex(std::string_view digits, Number* number) {
  std::uint64_t sum = 0;
  std::uint8_t seen = 0;
  for (char c : digits) {
    const std::uint8_t value = kDigits[static_cast<unsigned char>(c)];
    seen |= value;
    sum = sum << 4 | (value & 0xf);
  }
  *number = static_cast<Number>(sum);
  return seen <= 0xf;
}

// Two lower-case digits.
bool ReadByte(const char* digits, std::uint8_t* number) {
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'F'; };
  return !is_capital(digits[0]) && !is_capital(digits[1]) && ReadAnyHex({digits, 2}, number);
}

bool ReadTraceId(const char* digits, TraceId* id) {
  return internal::ReadHex16(digits, &id->high) && internal::ReadHex16(digits + 16, &id->low);
}

void WriteBigEndian(std::uint64_t number, char* out) {
  number = __builtin_bswap64(number);
  std::memcpy(out, &number, sizeof(number));
}
std::uint64_t ReadBigEndian(const char* bytes) {
  std::uint64_t number;
  std::memcpy(&number, bytes, sizeof(number));
  return __builtin_bswap64(number);
}

std::optional<TraceContext> IfValid(const TraceContext& context) {
  if (!context.valid()) return std::nullopt;
  return context;
}

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; }

bool EqualIgnoringCase(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() && std::equal(a.begin(), a.end(), lower.begin(),
                                                [](char x, char y) { return ToLower(x) == y; });
}

// ---- tracestate

constexpr std::size_t kMaxMembers = 32;
constexpr std::size_t kLongMember = 128;  // the first to go, says W3C

std::string_view TrimSpaces(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool IsKey(std::string_view key) {
  const auto is_first = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (key.empty() || key.size() > 256 || !is_first(key.front())) return false;
  return std::all_of(key.begin(), key.end(), [&](char c) {
    return is_first(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
  });
}

// Spaces at the end were trimmed before.
bool IsValue(std::string_view value) {
  if (value.empty() || value.size() > 256) return false;
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

struct Members {
  std::array<std::string_view, kMaxMembers> members;
  std::size_t count = 0;
  std::size_t joined_bytes = 0;  // with the commas

  void Remove(std::size_t i) {
    joined_bytes -= members[i].size() + (count > 1 ? 1 : 0);
    std::move(members.begin() + static_cast<std::ptrdiff_t>(i) + 1,
              members.begin() + static_cast<std::ptrdiff_t>(count),
              members.begin() + static_cast<std::ptrdiff_t>(i));
    --count;
  }
};

std::string_view KeyOf(std::string_view member) { return member.substr(0, member.find('=')); }

bool ReadMembers(std::string_view header, Members* list) {
  for (bool last = false; !last;) {  // bounded by the commas of the header
    const std::size_t comma = header.find(',');
    last = comma == std::string_view::npos;
    const std::string_view member = TrimSpaces(header.substr(0, comma));
    if (!last) header.remove_prefix(comma + 1);
    if (member.empty()) continue;  // allowed
    if (list->count == kMaxMembers) return false;
    const std::string_view key = KeyOf(member);
    if (key.size() == member.size() || !IsKey(key) || !IsValue(member.substr(key.size() + 1))) {
      return false;
    }
    for (std::size_t i = 0; i < list->count; ++i) {
      if (KeyOf(list->members[i]) == key) return false;
    }
    list->joined_bytes += member.size() + (list->count > 0 ? 1 : 0);
    list->members[list->count++] = member;
  }
  return true;
}

}  // namespace

std::array<char, kTraceparentBytes> FormatTraceparent(const TraceContext& context) noexcept {
  std::array<char, kTraceparentBytes> header;
  std::memcpy(header.data(), "00-", 3);
  WriteHex16(context.trace_id.high, header.data() + 3);
  WriteHex16(context.trace_id.low, header.data() + 19);
  header[35] = '-';
  WriteHex16(context.span_id, header.data() + 36);
  header[52] = '-';
  header[53] = '0';
  header[54] = static_cast<char>('0' + (context.flags & kKnownFlags));
  return header;
}

std::optional<TraceContext> ParseTraceparent(std::string_view header) noexcept {
  if (header.size() < kTraceparentBytes || header[2] != '-' || header[35] != '-' ||
      header[52] != '-') {
    return std::nullopt;
  }
  TraceContext context;
  std::uint8_t version = 0;
  if (!ReadByte(&header[0], &version) || version == 0xff ||
      !ReadTraceId(&header[3], &context.trace_id) || !ReadHex16(&header[36], &context.span_id) ||
      !ReadByte(&header[53], &context.flags)) {
    return std::nullopt;
  }
  // Version 00 ends here; a later one may go on after another dash.
  if (header.size() > kTraceparentBytes && (version == 0 || header[kTraceparentBytes] != '-')) {
    return std::nullopt;
  }
  context.flags &= kKnownFlags;
  return IfValid(context);
}

std::shared_ptr<const std::string> ParseTracestate(std::string_view header) noexcept {
  Members list;
  if (!ReadMembers(header, &list)) return nullptr;
  for (std::size_t i = list.count; i-- > 0 && list.joined_bytes > kMaxTracestateBytes;) {
    if (list.members[i].size() > kLongMember) list.Remove(i);
  }
  while (list.joined_bytes > kMaxTracestateBytes) list.Remove(list.count - 1);
  if (list.count == 0) return nullptr;
  try {
    auto joined = std::make_shared<std::string>();
    joined->reserve(list.joined_bytes);
    for (std::size_t i = 0; i < list.count; ++i) {
      if (i > 0) joined->push_back(',');
      joined->append(list.members[i]);
    }
    return joined;
  } catch (...) {
    return nullptr;  // no memory: a request is worth more than the state of other tracers
  }
}

std::array<char, kB3Bytes> FormatB3(const TraceContext& context) noexcept {
  std::array<char, kB3Bytes> header;
  WriteHex16(context.trace_id.high, header.data());
  WriteHex16(context.trace_id.low, header.data() + 16);
  header[32] = '-';
  WriteHex16(context.span_id, header.data() + 33);
  header[49] = '-';
  header[50] = context.sampled() ? '1' : '0';
  return header;
}

std::optional<TraceContext> ParseB3(std::string_view header) noexcept {
  // trace id - span id [- sampled [- parent span id]]
  std::array<std::string_view, 4> parts;
  std::size_t count = 0;
  for (bool last = false; !last;) {
    if (count == parts.size()) return std::nullopt;
    const std::size_t dash = header.find('-');
    last = dash == std::string_view::npos;
    parts[count++] = header.substr(0, dash);
    if (!last) header.remove_prefix(dash + 1);
  }
  if (count < 2) return std::nullopt;
  if (count >= 3 && parts[2] != "1" && parts[2] != "0" && parts[2] != "d") return std::nullopt;
  std::uint64_t parent = 0;
  if (count == 4 && (parts[3].size() != 16 || !ReadHex16(parts[3].data(), &parent))) {
    return std::nullopt;
  }
  B3Headers headers;
  headers.trace_id = parts[0];
  headers.span_id = parts[1];
  headers.sampled = parts[2] == "0" ? "0" : "1";
  return ParseB3(headers);
}

std::optional<TraceContext> ParseB3(const B3Headers& headers) noexcept {
  TraceContext context;
  if (headers.span_id.size() != 16 || !ReadHex16(headers.span_id.data(), &context.span_id)) {
    return std::nullopt;
  }
  if (headers.trace_id.size() == 32) {
    if (!ReadTraceId(headers.trace_id.data(), &context.trace_id)) return std::nullopt;
  } else if (headers.trace_id.size() != 16 ||
             !ReadHex16(headers.trace_id.data(), &context.trace_id.low)) {
    return std::nullopt;
  }
  // "true" and "false" come from old tracers. What else a state says is not worth losing the trace.
  const bool refused = headers.sampled == "0" || EqualIgnoringCase(headers.sampled, "false");
  const bool debug = headers.flags == "1";
  context.flags = !refused || debug ? TraceContext::kSampled : 0;
  return IfValid(context);
}

std::optional<TraceContext> ParseUberTraceId(std::string_view header) noexcept {
  std::array<std::string_view, 4> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t end = header.find_first_of(":%");
    parts[i] = header.substr(0, end);
    if (i + 1 == parts.size()) {
      if (end != std::string_view::npos) return std::nullopt;
      break;
    }
    if (end == std::string_view::npos) return std::nullopt;
    const bool encoded = header[end] == '%';
    if (encoded && !EqualIgnoringCase(header.substr(end, 3), "%3a")) return std::nullopt;
    header.remove_prefix(end + (encoded ? 3 : 1));
  }
  TraceContext context;
  std::uint64_t parent = 0;  // deprecated, and often 0
  std::uint8_t flags = 0;
  const auto has = [&](std::size_t part, std::size_t most) {
    return !parts[part].empty() && parts[part].size() <= most;
  };
  if (!has(0, 32) || !has(1, 16) || !has(2, 16) || !has(3, 2)) return std::nullopt;
  const std::size_t high_digits = parts[0].size() > 16 ? parts[0].size() - 16 : 0;
  if (!ReadAnyHex(parts[0].substr(0, high_digits), &context.trace_id.high) ||
      !ReadAnyHex(parts[0].substr(high_digits), &context.trace_id.low) ||
      !ReadAnyHex(parts[1], &context.span_id) || !ReadAnyHex(parts[2], &parent) ||
      !ReadAnyHex(parts[3], &flags)) {
    return std::nullopt;
  }
  constexpr std::uint8_t kJaegerSampled = 1, kJaegerDebug = 2;
  context.flags = (flags & (kJaegerSampled | kJaegerDebug)) != 0 ? TraceContext::kSampled : 0;
  return IfValid(context);
}

std::array<char, kContextBytes> ToBytes(const TraceContext& context) noexcept {
  std::array<char, kContextBytes> bytes;
  WriteBigEndian(context.trace_id.high, bytes.data());
  WriteBigEndian(context.trace_id.low, bytes.data() + 8);
  WriteBigEndian(context.span_id, bytes.data() + 16);
  return bytes;
}

std::optional<TraceContext> FromBytes(std::string_view bytes) noexcept {
  if (bytes.size() != kContextBytes) return std::nullopt;
  TraceContext context;
  context.trace_id = {ReadBigEndian(bytes.data()), ReadBigEndian(bytes.data() + 8)};
  context.span_id = ReadBigEndian(bytes.data() + 16);
  context.flags = TraceContext::kSampled;
  return IfValid(context);
}

namespace internal {

void ReadHeaders::Offer(std::string_view name, std::string_view value) noexcept {
  for (std::size_t i = 0; i < kCount; ++i) {
    if (values[i].data() == nullptr && EqualIgnoringCase(name, kNames[i])) {
      // An empty value counts as offered too.
      values[i] = value.data() != nullptr ? value : std::string_view("");
      return;
    }
  }
}

TraceContext ReadHeaders::Read() const noexcept {
  if (auto context = ParseTraceparent(values[kTraceparent])) {
    // Without a valid traceparent the tracestate is not even looked at, says W3C.
    if (!values[kTracestate].empty()) context->tracestate = ParseTracestate(values[kTracestate]);
    return *std::move(context);
  }
  if (const auto context = ParseB3(values[kB3])) return *context;
  B3Headers b3;
  b3.trace_id = values[kB3TraceId];
  b3.span_id = values[kB3SpanId];
  b3.sampled = values[kB3Sampled];
  b3.flags = values[kB3Flags];
  if (const auto context = ParseB3(b3)) return *context;
  if (const auto context = ParseUberTraceId(values[kUberTraceId])) return *context;
  return TraceContext();
}

WrittenHeaders::WrittenHeaders(const TraceContext& context, Headers format) noexcept {
  if (!context.valid()) return;
  static_assert(kTraceparentBytes >= kB3Bytes);
  switch (format) {
    case Headers::kW3c:
      text_ = FormatTraceparent(context);
      headers[count++] = {"traceparent", {text_.data(), kTraceparentBytes}};
      if (context.tracestate != nullptr) headers[count++] = {"tracestate", *context.tracestate};
      return;
    case Headers::kB3Single:
    case Headers::kB3Multi: {
      const auto b3 = FormatB3(context);
      std::copy(b3.begin(), b3.end(), text_.begin());
      if (format == Headers::kB3Single) {
        headers[count++] = {"b3", {text_.data(), kB3Bytes}};
        return;
      }
      headers[count++] = {"x-b3-traceid", {text_.data(), 32}};
      headers[count++] = {"x-b3-spanid", {text_.data() + 33, 16}};
      headers[count++] = {"x-b3-sampled", {text_.data() + 50, 1}};
      return;
    }
  }
}

}  // namespace internal

SEER_END_NAMESPACE
