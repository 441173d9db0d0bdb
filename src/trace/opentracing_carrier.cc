#include "trace/opentracing_carrier.h"

#include <algorithm>
#include <array>
#include <istream>
#include <new>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

using opentracing::expected;
using opentracing::make_unexpected;

constexpr std::string_view kBaggagePrefix = "ot-baggage-";
constexpr std::size_t kMaxHeader = 4096;  // longer ones are no context
constexpr char kBinaryVersion = 1;

std::string_view View(opentracing::string_view text) { return {text.data(), text.size()}; }
opentracing::string_view View(std::string_view text) { return {text.data(), text.size()}; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// What may stand in a header's name and value everywhere; '%' is how the others are written.
bool Plain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

std::string Encoded(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (Plain(c)) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kDigits[byte >> 4];
    encoded += kDigits[byte & 15];
  }
  return encoded;
}

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// What is not well encoded stays as it is.
std::string Decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && DigitOf(text[i + 1]) >= 0 &&
        DigitOf(text[i + 2]) >= 0) {
      decoded += static_cast<char>(DigitOf(text[i + 1]) * 16 + DigitOf(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

void PutLength(std::size_t length, std::string* bytes) {
  *bytes += static_cast<char>(length & 0xff);
  *bytes += static_cast<char>(length >> 8);
}

// Reads nothing beyond what it needs, so that a stream may hold more than a context.
bool Get(std::istream& reader, std::size_t count, std::string* bytes) {
  bytes->resize(count);
  if (count == 0) return true;
  reader.read(&(*bytes)[0], static_cast<std::streamsize>(count));
  return static_cast<std::size_t>(reader.gcount()) == count;
}
std::optional<std::size_t> GetLength(std::istream& reader) {
  std::string bytes;
  if (!Get(reader, 2, &bytes)) return std::nullopt;
  return static_cast<unsigned char>(bytes[0]) |
         static_cast<std::size_t>(static_cast<unsigned char>(bytes[1])) << 8;
}

}  // namespace

bool AddBaggage(std::string_view key, std::string_view value, Baggage* baggage) {
  std::size_t bytes = key.size() + value.size();
  std::size_t items = 1;
  for (const auto& [known_key, known_value] : *baggage) {
    if (known_key == key) continue;
    bytes += known_key.size() + known_value.size();
    ++items;
  }
  if (bytes > kMaxBaggageBytes || items > kMaxBaggageItems) return false;
  baggage->insert_or_assign(std::string(key), std::string(value));
  return true;
}

std::shared_ptr<const Baggage> OpenTracingContext::baggage() const {
  MutexLock lock(&mutex_);
  return baggage_;
}
void OpenTracingContext::set_baggage(std::shared_ptr<const Baggage> baggage) {
  MutexLock lock(&mutex_);
  baggage_.swap(baggage);
}

void OpenTracingContext::ForeachBaggageItem(
    std::function<bool(const std::string&, const std::string&)> f) const {
  const std::shared_ptr<const Baggage> items = baggage();
  if (items == nullptr) return;
  for (const auto& [key, value] : *items) {
    if (!f(key, value)) return;
  }
}

std::unique_ptr<opentracing::SpanContext> OpenTracingContext::Clone() const noexcept {
  try {
    return std::make_unique<OpenTracingContext>(*this);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

std::string OpenTracingContext::ToTraceID() const noexcept {
  const auto text = FormatTraceparent(trace);
  return std::string(text.data() + 3, 32);
}
std::string OpenTracingContext::ToSpanID() const noexcept {
  const auto text = FormatTraceparent(trace);
  return std::string(text.data() + 36, 16);
}

expected<void> InjectText(const OpenTracingContext& context, Headers headers, bool encode,
                          const opentracing::TextMapWriter& writer) {
  expected<void> result;
  seer::Inject(
      context.trace,
      [&](std::string_view name, std::string_view value) {
        if (result) result = writer.Set(View(name), View(value));
      },
      headers);
  const std::shared_ptr<const Baggage> baggage = context.baggage();
  if (baggage == nullptr) return result;
  for (const auto& [key, value] : *baggage) {
    if (!result) break;
    const std::string name = std::string(kBaggagePrefix) + (encode ? Encoded(key) : key);
    const std::string text = encode ? Encoded(value) : value;
    result = writer.Set(View(std::string_view(name)), View(std::string_view(text)));
  }
  return result;
}

ExtractedContext ExtractText(bool encoded, const opentracing::TextMapReader& reader) {
  // Copies, as what a carrier shows is only there during the call.
  std::vector<std::pair<std::string, std::string>> headers;
  auto baggage = std::make_shared<Baggage>();
  const expected<void> read = reader.ForeachKey(
      [&](opentracing::string_view k, opentracing::string_view v) -> expected<void> {
        const std::string_view key = View(k);
        const std::string_view value = View(v);
        if (key.size() > kMaxHeader || value.size() > kMaxHeader) return {};
        const std::string name = LowerCase(key);
        const auto& names = ReadHeaders::kNames;
        if (std::find(names.begin(), names.end(), name) != names.end()) {
          if (headers.size() < 4 * names.size()) headers.emplace_back(name, value);
        } else if (name.compare(0, kBaggagePrefix.size(), kBaggagePrefix) == 0 &&
                   name.size() > kBaggagePrefix.size()) {
          // In HTTP the case of a name is nobody's.
          const std::string_view item = encoded ? std::string_view(name) : key;
          const std::string_view bare = item.substr(kBaggagePrefix.size());
          if (encoded) {
            AddBaggage(Decoded(bare), Decoded(value), baggage.get());
          } else {
            AddBaggage(bare, value, baggage.get());
          }
        }
        return {};
      });
  if (!read) return make_unexpected(read.error());
  auto context = std::make_unique<OpenTracingContext>();
  context->trace = seer::Extract(headers);
  if (!context->trace.valid()) return std::unique_ptr<opentracing::SpanContext>();
  context->from_carrier = true;
  if (!baggage->empty()) context->set_baggage(std::move(baggage));
  return std::unique_ptr<opentracing::SpanContext>(std::move(context));
}

expected<void> InjectBinary(const OpenTracingContext& context, std::ostream& writer) {
  std::string bytes;
  bytes += kBinaryVersion;
  bytes += static_cast<char>(context.trace.flags);
  const auto ids = ToBytes(context.trace);
  bytes.append(ids.data(), ids.size());
  const std::shared_ptr<const Baggage> baggage = context.baggage();
  PutLength(baggage == nullptr ? 0 : baggage->size(), &bytes);
  if (baggage != nullptr) {
    for (const auto& [key, value] : *baggage) {
      PutLength(key.size(), &bytes);
      bytes += key;
      PutLength(value.size(), &bytes);
      bytes += value;
    }
  }
  writer.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!writer.good()) return make_unexpected(std::make_error_code(std::errc::io_error));
  return {};
}

ExtractedContext ExtractBinary(std::istream& reader) {
  const auto corrupted = make_unexpected(opentracing::span_context_corrupted_error);
  std::string bytes;
  if (!Get(reader, 1, &bytes)) return std::unique_ptr<opentracing::SpanContext>();  // nothing there
  if (bytes[0] != kBinaryVersion || !Get(reader, 1, &bytes)) return corrupted;
  constexpr std::uint8_t kFlags = TraceContext::kSampled | TraceContext::kRandomId;
  const auto flags = static_cast<std::uint8_t>(static_cast<std::uint8_t>(bytes[0]) & kFlags);
  if (!Get(reader, kContextBytes, &bytes)) return corrupted;
  std::optional<TraceContext> trace = FromBytes(bytes);
  if (!trace) return corrupted;
  trace->flags = flags;
  const std::optional<std::size_t> items = GetLength(reader);
  if (!items || *items > kMaxBaggageItems) return corrupted;
  auto baggage = std::make_shared<Baggage>();
  for (std::size_t i = 0; i < *items; ++i) {
    std::string key;
    std::string value;
    for (std::string* const text : {&key, &value}) {
      const std::optional<std::size_t> length = GetLength(reader);
      if (!length || *length > kMaxBaggageBytes || !Get(reader, *length, text)) return corrupted;
    }
    if (!AddBaggage(key, value, baggage.get())) return corrupted;
  }
  auto context = std::make_unique<OpenTracingContext>();
  context->trace = *trace;
  context->from_carrier = true;
  if (!baggage->empty()) context->set_baggage(std::move(baggage));
  return std::unique_ptr<opentracing::SpanContext>(std::move(context));
}

}  // namespace internal
SEER_END_NAMESPACE
