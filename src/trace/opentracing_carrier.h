// OpenTracing's contexts and carriers: W3C, B3 and Jaeger headers in text maps and HTTP headers, a
// binary form in streams.
//
// Threads: contexts from any thread; the functions are pure.
#pragma once

#include <opentracing/propagation.h>
#include <opentracing/span.h>

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/trace/propagation.h"

SEER_BEGIN_NAMESPACE
namespace internal {

using Baggage = std::map<std::string, std::string>;
inline constexpr std::size_t kMaxBaggageItems = 64;
inline constexpr std::size_t kMaxBaggageBytes = 8192;

// False, and nothing changed, where it would exceed the limits.
bool AddBaggage(std::string_view key, std::string_view value, Baggage* baggage);

class OpenTracingContext final : public opentracing::SpanContext {
 public:
  OpenTracingContext() = default;
  OpenTracingContext(const OpenTracingContext& other)
      : trace(other.trace), from_carrier(other.from_carrier), baggage_(other.baggage()) {}

  void ForeachBaggageItem(
      std::function<bool(const std::string&, const std::string&)> f) const override;
  std::unique_ptr<opentracing::SpanContext> Clone() const noexcept override;
  std::string ToTraceID() const noexcept override;
  std::string ToSpanID() const noexcept override;

  std::shared_ptr<const Baggage> baggage() const ABSL_LOCKS_EXCLUDED(mutex_);
  void set_baggage(std::shared_ptr<const Baggage> baggage) ABSL_LOCKS_EXCLUDED(mutex_);

  TraceContext trace;
  bool from_carrier = false;

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const Baggage> baggage_ ABSL_GUARDED_BY(mutex_);  // null: none
};

using ExtractedContext = opentracing::expected<std::unique_ptr<opentracing::SpanContext>>;

opentracing::expected<void> InjectText(const OpenTracingContext& context, Headers headers,
                                       bool encode, const opentracing::TextMapWriter& writer);
ExtractedContext ExtractText(bool encoded, const opentracing::TextMapReader& reader);
opentracing::expected<void> InjectBinary(const OpenTracingContext& context, std::ostream& writer);
ExtractedContext ExtractBinary(std::istream& reader);

}  // namespace internal
SEER_END_NAMESPACE
