// Spans of other tracers, some ten thousand at a time -> who called whom -> RunSink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "dataset/run_sink.h"
#include "seer/core/config.h"
#include "seer/core/span.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Names as numbers; 0 is the empty one. The table is bounded: beyond kMax a name is 0.
class Names {
 public:
  static constexpr std::uint32_t kMax = 1 << 16;
  Names();
  std::uint32_t Of(std::string_view name);
  const std::string& operator[](std::uint32_t number) const { return names_[number]; }
  bool full() const { return names_.size() >= kMax; }

 private:
  static constexpr std::size_t kRecent = 1 << 10;
  std::uint32_t OfAny(std::string_view name);

  std::vector<std::string> names_;
  std::vector<std::uint32_t> recent_;  // numbers by a hash that is quick and may collide; 0: none
  std::vector<std::uint32_t> slots_;   // number + 1, open addressing
};

struct TraceSpan {
  enum class Kind : std::uint8_t { kUnknown, kInternal, kClient, kServer, kProducer, kConsumer };
  TraceId trace;
  std::uint64_t id = 0, parent = 0;
  std::int64_t start_ns = 0, end_ns = 0;
  std::uint32_t service = 0, remote = 0, operation = 0, host = 0;  // of Names
  Kind kind = Kind::kUnknown;
  Outcome outcome = Outcome::kOk;

  bool calls() const { return kind == Kind::kClient || kind == Kind::kProducer; }
  bool serves() const { return kind == Kind::kServer || kind == Kind::kConsumer; }
};

// Parents are looked for among the spans of the batch and of the one before.
class SpanBatcher {
 public:
  SpanBatcher(RunSink* sink, ImportReport* report);
  Names& names() { return names_; }
  [[nodiscard]] absl::Status Add(const TraceSpan& span);
  [[nodiscard]] absl::Status Flush();

 private:
  static constexpr std::size_t kBatch = 1 << 15;
  static constexpr std::size_t kSlots = 1 << 17;
  static constexpr std::uint32_t kNobody = 0xffffffffu;

  struct Known {
    std::uint64_t key = 0;  // of trace and span
    std::uint32_t service = 0;
  };
  struct CachedIds {
    std::uint64_t names = ~std::uint64_t{0}, more = 0;
    CallIds ids;
  };

  struct Callers {
    std::uint32_t shared = kNobody, up = kNobody;  // the span with the same id, and the parent
  };

  static std::uint64_t TraceKeyOf(TraceId trace);
  static std::uint64_t KeyOf(std::uint64_t trace_key, std::uint64_t id);
  std::uint32_t Find(std::uint32_t i, std::uint64_t id, bool caller_side) const;
  std::uint32_t OldService(std::uint32_t i) const;
  absl::Status Emit(std::uint32_t at);
  absl::Status EmitCall(const TraceSpan& span, std::uint32_t at);
  absl::Status EmitRequest(const TraceSpan& span, std::uint32_t at);
  absl::StatusOr<CallIds> IdsOf(const TraceSpan& span, std::uint32_t caller, std::uint32_t callee,
                                SpanSide side, bool root, bool async);
  absl::Status Send(const TraceSpan& span, const CallIds& ids, SpanSide side, bool root, bool async,
                    std::uint64_t parent);

  RunSink* const sink_;
  ImportReport* const report_;
  Names names_;
  std::vector<TraceSpan> spans_;
  std::vector<std::uint64_t> keys_;    // TraceKeyOf() their traces
  std::vector<std::uint32_t> slots_;   // index + 1 in spans_, by trace and span
  std::vector<std::uint32_t> callee_;  // of a call: the service that took it; 0: not seen
  std::vector<Callers> callers_;       // of a request
  std::vector<Known> before_;          // of the batch before
  std::vector<CachedIds> cache_;
};

}  // namespace internal
SEER_END_NAMESPACE
