// Flow: TraceContext -> [Inject] -> headers -> the wire -> headers -> [Extract] -> TraceContext
//
// How a context travels with a call: as headers that other tracers understand too. Writes W3C Trace
// Context (or B3, for a fleet that knows nothing newer); reads W3C, B3 in both forms, and Jaeger's
// uber-trace-id.
//
//   std::map<std::string, std::string> carrier;
//   seer::Inject(seer::CurrentContext(), &carrier);                          // client
//   seer::ContextScope scope(seer::NewChild(seer::Extract(carrier)));        // server
//
// On a carrier of another kind, with a function:
//
//   seer::Inject(context, [&](std::string_view name, std::string_view value) {
//     request.SetHeader(name, value);
//   });
//   seer::Extract([&](std::string_view name) -> std::optional<std::string_view> {
//     return request.FindHeader(name);
//   });
//
// What is read is believed only as far as the formats allow it: a header that breaks its rules in
// one place is as good as absent. An id of zero, W3C's version ff, capitals in a traceparent are
// such places. A traceparent of a later version is read as far as version 00 goes, as W3C demands.
//
// Threads: pure functions.
// Cost:    Format and Parse of traceparent some 10 to 30 ns (benchmarks/RESULTS.md); nothing is
//          allocated but the copy of a tracestate, where there is one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "seer/core/config.h"
#include "seer/trace/context.h"

SEER_BEGIN_NAMESPACE

// ---- W3C Trace Context: https://www.w3.org/TR/trace-context-2/

inline constexpr std::size_t kTraceparentBytes = 55;
inline constexpr std::size_t kMaxTracestateBytes = 512;

// "00-<trace id>-<span id>-<flags>". Of an invalid context: a traceparent that receivers refuse.
std::array<char, kTraceparentBytes> FormatTraceparent(const TraceContext& context) noexcept;
// The context has no tracestate.
std::optional<TraceContext> ParseTraceparent(std::string_view header) noexcept;

// Null where a list member breaks the rules, where there are more than 32 or a key comes twice, and
// where none is left. A list of more than 512 bytes loses its members above 128 bytes, and then its
// last ones, until it fits. Members are kept in order, spaces around them are not.
std::shared_ptr<const std::string> ParseTracestate(std::string_view header) noexcept;

// ---- B3: https://github.com/openzipkin/b3-propagation

// "<trace id>-<span id>-<1 or 0>", for the header b3; 128-bit trace ids.
inline constexpr std::size_t kB3Bytes = 51;
std::array<char, kB3Bytes> FormatB3(const TraceContext& context) noexcept;
// Ids are needed: a lone sampling state ("0") gives no context. A state that is left out counts as
// sampled, as seer records every request; "d" (debug) too.
std::optional<TraceContext> ParseB3(std::string_view header) noexcept;

// The same in four headers, x-b3-*; empty: absent.
struct B3Headers {
  std::string_view trace_id;
  std::string_view span_id;
  std::string_view sampled;
  std::string_view flags;  // "1": debug
};
std::optional<TraceContext> ParseB3(const B3Headers& headers) noexcept;

// ---- Jaeger: uber-trace-id, "<trace id>:<span id>:<parent>:<flags>", also percent-encoded. Ids
// may lack leading zeros.

std::optional<TraceContext> ParseUberTraceId(std::string_view header) noexcept;

// ---- Binary, for protocols with room for few bytes: trace id and span id, big-endian, as in the
// text forms. No room for flags: a context that is read counts as sampled.

inline constexpr std::size_t kContextBytes = 24;
std::array<char, kContextBytes> ToBytes(const TraceContext& context) noexcept;
// Exactly 24 bytes.
std::optional<TraceContext> FromBytes(std::string_view bytes) noexcept;

// ---- Whole carriers.

enum class Headers : std::uint8_t {
  kW3c,       // traceparent, tracestate
  kB3Single,  // b3
  kB3Multi,   // x-b3-traceid, x-b3-spanid, x-b3-sampled
};

namespace internal {

// The headers that Extract() looks for.
struct ReadHeaders {
  enum Name : std::uint8_t {
    kTraceparent,
    kTracestate,
    kB3,
    kB3TraceId,
    kB3SpanId,
    kB3Sampled,
    kB3Flags,
    kUberTraceId,
    kCount
  };
  static constexpr std::array<std::string_view, kCount> kNames = {
      "traceparent", "tracestate",   "b3",         "x-b3-traceid",
      "x-b3-spanid", "x-b3-sampled", "x-b3-flags", "uber-trace-id"};

  // Keeps the value if the name, in whatever case, is one of the names; the first of each.
  void Offer(std::string_view name, std::string_view value) noexcept;
  // From the best form that is valid, in the order of Name; otherwise an invalid context.
  TraceContext Read() const noexcept;

  std::array<std::string_view, kCount> values;
};

struct WrittenHeaders {
  WrittenHeaders(const TraceContext& context, Headers format) noexcept;

  struct Header {
    std::string_view name;
    std::string_view value;
  };
  std::array<Header, 3> headers;
  std::size_t count = 0;  // 0 for an invalid context

  // `headers` points into text and into the context.
  WrittenHeaders(const WrittenHeaders&) = delete;
  WrittenHeaders& operator=(const WrittenHeaders&) = delete;

 private:
  std::array<char, kTraceparentBytes> text_ = {};
};

}  // namespace internal

// Writes the headers of a context to a carrier: a function set(std::string_view name,
// std::string_view value), or a pointer to a map from string to string, in which headers of these
// names are replaced. An invalid context writes nothing. Names are lower case.
template <typename Carrier>
void Inject(const TraceContext& context, Carrier&& carrier, Headers headers = Headers::kW3c) {
  const internal::WrittenHeaders written(context, headers);
  for (std::size_t i = 0; i < written.count; ++i) {
    const auto& [name, value] = written.headers[i];
    if constexpr (std::is_invocable_v<Carrier&, std::string_view, std::string_view>) {
      carrier(name, value);
    } else {
      carrier->insert_or_assign(std::string(name), std::string(value));
    }
  }
}

// Reads a context from a carrier: a function get(std::string_view lower_case_name) that returns
// std::optional<std::string_view>, or anything to iterate over that gives pairs of strings, such as
// a map or a vector; there, names are compared without regard to case. Not valid() if the carrier
// holds none. What the carrier's values point to must live until Extract() returns.
template <typename Carrier>
TraceContext Extract(const Carrier& carrier) {
  internal::ReadHeaders read;
  if constexpr (std::is_invocable_v<const Carrier&, std::string_view>) {
    static_assert(std::is_same_v<std::invoke_result_t<const Carrier&, std::string_view>,
                                 std::optional<std::string_view>>,
                  "a carrier function returns std::optional<std::string_view>; a std::string "
                  "would be gone before it is read");
    for (std::size_t i = 0; i < internal::ReadHeaders::kCount; ++i) {
      if (const auto value = carrier(internal::ReadHeaders::kNames[i])) read.values[i] = *value;
    }
  } else {
    for (const auto& [name, value] : carrier) read.Offer(name, value);
  }
  return read.Read();
}

SEER_END_NAMESPACE
