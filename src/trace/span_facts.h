// What every export format says about a span, apart from ids and times: names instead of ids, and
// what stands for them where the topology does not know them. Private to the room.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"
#include "seer/core/version.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The words of the formats. All begin with "seer." so as not to collide with the host's own.
inline constexpr std::string_view kOutcomeKey = "seer.outcome";
inline constexpr std::string_view kEdgeIdKey = "seer.edge_id";
inline constexpr std::string_view kDroppedSpansKey = "seer.dropped_spans";
inline constexpr std::string_view kFirstStampKey = "seer.first_stamp";
inline constexpr std::string_view kLastStampKey = "seer.last_stamp";
inline constexpr std::string_view kPeerServiceKey = "peer.service";  // OpenTelemetry's word

#define SEER_INTERNAL_TEXT_(number) #number
#define SEER_INTERNAL_TEXT(number) SEER_INTERNAL_TEXT_(number)
inline constexpr std::string_view kLibraryVersion =
    SEER_INTERNAL_TEXT(SEER_VERSION_MAJOR) "." SEER_INTERNAL_TEXT(
        SEER_VERSION_MINOR) "." SEER_INTERNAL_TEXT(SEER_VERSION_PATCH);

// "seer.dequeued", "seer.first_byte", ... For a client i is less than 4: the fifth stamp has no
// name, and what a hostile batch has there is left out.
std::string_view StampName(SpanSide side, std::size_t i);
constexpr std::size_t StampsOf(SpanSide side) { return side == SpanSide::kServer ? 5 : 4; }

// Formats with exact times have the first known stamp as the start of a span, the last one as its
// end, and need to tell which ones these are only where they are not those that one expects:
// received or call start, reply sent or call end.
struct KnownStamps {
  explicit KnownStamps(const Span& span);
  // The name; none where it is the expected one, or where no stamp is known.
  std::optional<std::string_view> FirstToTell() const;
  std::optional<std::string_view> LastToTell() const;

  SpanSide side;
  std::size_t first;  // without any known stamp: first is greater than last
  std::size_t last = 0;
};

// "unknown", "ok", "failed", "timed-out", ...
std::string_view OutcomeName(Outcome outcome);
constexpr bool IsFailure(Outcome outcome) {
  return outcome != Outcome::kOk && outcome != Outcome::kUnknown;
}

// Who recorded a batch. The names are the topology's bytes: whoever writes them makes them UTF-8.
struct BatchFacts {
  std::string service;   // "unknown_service" where not known: OpenTelemetry's word
  std::string instance;  // "instance-7" where not known, "" where there is no id either
  std::string node;      // "" where not known
};

struct SpanFacts {
  std::string_view name;                 // the method's; "method-7" or "unknown"
  std::string_view peer;                 // service at the other end; "" where not known, or outside
  std::optional<std::uint32_t> edge_id;  // of an edge that the topology does not know
};

// Looks names up in a topology, if it is of the batch's numbering: otherwise the same ids would
// mean something else, and none of them is known.
class Namer {
 public:
  Namer(const SpanBatch& batch, const Topology& topology);

  BatchFacts Batch() const;
  // Valid until the next call.
  SpanFacts Of(MethodId method, EdgeId edge, SpanSide side);
  SpanFacts Of(const Span& span) { return Of(span.method(), span.edge(), span.side()); }

 private:
  const Topology* const topology_;  // null: of another numbering
  const InstanceId instance_;
  const std::string& node_;
  std::string made_up_;
};

// The 64 bytes of a Span as span.h lays them out, for the encoder that counts nanoseconds. Each
// field is read straight from the span: a copy of the whole would be written with wide stores and
// read back with narrow loads, and wait in between.
class SpanBytes {
 public:
  static constexpr int kShiftBit = 52, kShiftBits = 4;

  explicit SpanBytes(const Span& span) : bytes_(reinterpret_cast<const char*>(&span)) {
    static_assert(sizeof(Span) == 64 && std::is_trivially_copyable_v<Span>);
  }
  std::uint64_t trace_high() const { return At<std::uint64_t>(0); }
  std::uint64_t trace_low() const { return At<std::uint64_t>(8); }
  std::uint64_t span_id() const { return At<std::uint64_t>(16); }
  std::uint64_t parent_id() const { return At<std::uint64_t>(24); }
  std::uint64_t first_ns() const { return At<std::uint64_t>(32); }
  // From the first known stamp to stamp i, 1 to 4, in units of 2^shift ns.
  std::uint32_t later(std::size_t i) const { return At<std::uint32_t>(32 + 4 * i + 4); }
  std::uint64_t bits() const { return At<std::uint64_t>(56); }
  int shift() const { return static_cast<int>(bits() >> kShiftBit) & ((1 << kShiftBits) - 1); }

  // A span of which only the bits are set.
  static Span WithBits(std::uint64_t bits) {
    char bytes[sizeof(Span)] = {};
    std::memcpy(bytes + 56, &bits, sizeof(bits));
    Span span;
    std::memcpy(static_cast<void*>(&span), bytes, sizeof(span));
    return span;
  }

 private:
  template <typename Number>
  Number At(std::size_t offset) const {
    Number number;
    std::memcpy(&number, bytes_ + offset, sizeof(number));
    return number;
  }

  const char* const bytes_;
};

}  // namespace internal
SEER_END_NAMESPACE
