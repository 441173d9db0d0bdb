#include "seer/trace/opentracing.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <istream>
#include <new>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "seer/core/channel.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/trace/internal/open_requests.h"
#include "trace/opentracing_carrier.h"
#include "trace/opentracing_operations.h"

SEER_BEGIN_NAMESPACE

using internal::OpenTracingContext;
using internal::Operation;
using internal::OperationKind;
using opentracing::SteadyClock;
using opentracing::SteadyTime;

namespace {

std::string_view View(opentracing::string_view text) { return {text.data(), text.size()}; }

std::string_view TextOf(const opentracing::Value& value) {
  if (value.is<std::string>()) return value.get<std::string>();
  if (value.is<opentracing::string_view>()) return View(value.get<opentracing::string_view>());
  if (value.is<const char*>() && value.get<const char*>() != nullptr) {
    return value.get<const char*>();
  }
  return {};
}

bool IsTrue(const opentracing::Value& value) {
  if (value.is<bool>()) return value.get<bool>();
  return TextOf(value) == "true";
}

OperationKind KindNamed(std::string_view kind) {
  if (kind == "server" || kind == "consumer") return OperationKind::kServer;
  if (kind == "client" || kind == "producer") return OperationKind::kClient;
  return OperationKind::kInner;
}

bool EndsWith(std::string_view text, std::string_view end) {
  return !end.empty() && text.size() > end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool IsPeer(std::string_view tag) { return tag == "peer.service" || tag == "peer.hostname"; }

std::int64_t NsBetween(SteadyTime from, SteadyTime to) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count();
}

// From nanoseconds to stamps: measured once, good to a fraction of a per mille. That is enough for
// times that the application gives, which are kept only where they differ from ours by more.
double StampsPerNs(const ServedMethod& method) {
  const SteadyTime begin = SteadyClock::now();
  const std::uint64_t begin_stamp = method.FencedStamp();
  SteadyTime end = begin;
  while (NsBetween(begin, end) < 1'000'000) end = SteadyClock::now();  // 1 ms
  return static_cast<double>(method.FencedStamp() - begin_stamp) /
         static_cast<double>(NsBetween(begin, end));
}

constexpr double kBelievedNs = 1e6;

}  // namespace

struct OpenTracingTracer::State {
  State(const OpenTracingOptions& o, QueueRegistry* q, SpanRecorder* r)
      : options(o),
        operations(o.service, o.callees, o.client_suffix, o.max_operations, q, r),
        service(internal::ServiceNumber(o.service)) {}

  OperationKind KindOf(std::string_view operation, std::string_view tag,
                       const OpenTracingContext* parent) const {
    const OperationKind named = KindNamed(tag);
    if (named != OperationKind::kInner) return named;
    if (operations.IsCallee(operation)) return OperationKind::kClient;
    if (EndsWith(operation, options.server_suffix)) return OperationKind::kServer;
    if (EndsWith(operation, options.client_suffix)) return OperationKind::kClient;
    if (parent == nullptr) return OperationKind::kServer;
    const bool ours = !parent->from_carrier || internal::IsOpenRequest(internal::OpenRequestKey(
                                                   parent->trace.span_id, service));
    return ours ? OperationKind::kInner : OperationKind::kServer;
  }

  const OpenTracingOptions options;
  internal::Operations operations;
  const std::uint64_t service;
  ServedMethod clock;  // some method, for its stamps
  Queue running;
  Queue blocked;
  double stamps_per_ns = 1;
  // Counts; they order nothing.
  std::atomic<std::uint64_t> served{0}, called{0}, inner{0}, unnamed{0};
};

// One span. What the application may change from several threads is guarded by the span's own lock.
class OpenTracingSpan final : public opentracing::Span {
 public:
  OpenTracingSpan(std::shared_ptr<const OpenTracingTracer> tracer, std::string_view operation,
                  const opentracing::StartSpanOptions& options)
      : tracer_(std::move(tracer)), state_(*tracer_->state_), name_(operation) {
    const OpenTracingContext* parent = nullptr;
    for (const auto& [type, context] : options.references) {
      const auto* const ours = dynamic_cast<const OpenTracingContext*>(context);
      if (ours == nullptr || !ours->trace.valid()) continue;
      const bool child = type == opentracing::SpanReferenceType::ChildOfRef;
      if (parent == nullptr || (child && !child_)) {
        parent = ours;
        child_ = child;
      }
    }
    std::string_view kind;
    for (const auto& [key, value] : options.tags) {
      if (key == "span.kind") kind = TextOf(value);
      if (IsPeer(key)) peer_ = TextOf(value);
      if (key == "error" && IsTrue(value)) span_.outcome = Outcome::kFailed;
    }
    if (parent != nullptr) {
      parent_ = parent->trace;
      const auto baggage = parent->baggage();
      if (baggage != nullptr) context_.set_baggage(baggage);
    }
    start_ = SteadyClock::now();
    start_stamp_ = state_.clock.Stamp();
    const std::int64_t given_ns = GivenStartNs(options);
    start_stamp_ -= static_cast<std::uint64_t>(
        std::llround(static_cast<double>(given_ns) * state_.stamps_per_ns));
    start_ -= std::chrono::nanoseconds(given_ns);

    internal::MutexLock lock(&mutex_);
    const OperationKind decided = state_.KindOf(operation, kind, parent);
    if (decided == OperationKind::kInner) {
      context_.trace = parent_;
      state_.inner.fetch_add(1, std::memory_order_relaxed);
    } else {
      Become(decided);
      context_.trace = Child();
    }
  }

  ~OpenTracingSpan() override {
    // Not finished: something threw.
    internal::MutexLock lock(&mutex_);
    span_.outcome = Outcome::kFailed;
    End(SteadyTime());
  }

  void FinishWithOptions(const opentracing::FinishSpanOptions& options) noexcept override {
    internal::MutexLock lock(&mutex_);
    if (span_.outcome == Outcome::kUnknown) span_.outcome = Outcome::kOk;
    End(options.finish_steady_timestamp);
  }

  void SetOperationName(opentracing::string_view name) noexcept override {
    try {
      internal::MutexLock lock(&mutex_);
      if (ended_) return;
      name_ = View(name);
      if (operation_ != nullptr) Become(operation_->kind);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it keeps the name it has
    }
  }

  void SetTag(opentracing::string_view key, const opentracing::Value& value) noexcept override {
    const std::string_view tag = View(key);
    const bool peer = IsPeer(tag);
    if (!peer && tag != "error" && tag != "span.kind") return;
    try {
      internal::MutexLock lock(&mutex_);
      if (ended_) return;
      if (tag == "error") {
        span_.outcome = IsTrue(value) ? Outcome::kFailed : Outcome::kUnknown;
      } else if (peer) {
        peer_ = TextOf(value);
        if (operation_ != nullptr && operation_->kind == OperationKind::kClient) {
          Become(OperationKind::kClient);
        }
      } else if (operation_ == nullptr && KindNamed(TextOf(value)) != OperationKind::kInner) {
        state_.inner.fetch_sub(1, std::memory_order_relaxed);
        Become(KindNamed(TextOf(value)));
      }
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it stays what it is
    }
  }

  void SetBaggageItem(opentracing::string_view key,
                      opentracing::string_view value) noexcept override {
    try {
      internal::MutexLock lock(&mutex_);  // one change at a time
      const auto before = context_.baggage();
      auto after = before == nullptr ? std::make_shared<internal::Baggage>()
                                     : std::make_shared<internal::Baggage>(*before);
      if (internal::AddBaggage(View(key), View(value), after.get())) {
        context_.set_baggage(std::move(after));
      }
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is not carried
    }
  }
  std::string BaggageItem(opentracing::string_view key) const noexcept override {
    const auto baggage = context_.baggage();
    if (baggage == nullptr) return {};
    const auto found = baggage->find(std::string(View(key)));
    return found == baggage->end() ? std::string() : found->second;
  }

  using Fields = std::initializer_list<std::pair<opentracing::string_view, opentracing::Value>>;
  void Log(Fields) noexcept override {}
  void Log(opentracing::SystemTime, Fields) noexcept override {}
  void Log(opentracing::SystemTime,
           const std::vector<std::pair<opentracing::string_view, opentracing::Value>>&) noexcept
      override {}

  const opentracing::SpanContext& context() const noexcept override { return context_; }
  const opentracing::Tracer& tracer() const noexcept override { return *tracer_; }

 private:
  // How long before now the application says that the span started. Small differences come from
  // the way here, and our own stamp is the better one.
  static std::int64_t Believed(double ns) {
    return ns > kBelievedNs && ns < 3.6e12 ? std::llround(ns) : 0;
  }
  std::int64_t GivenStartNs(const opentracing::StartSpanOptions& options) const {
    if (options.start_steady_timestamp != SteadyTime()) {
      return Believed(static_cast<double>(NsBetween(options.start_steady_timestamp, start_)));
    }
    if (options.start_system_timestamp != opentracing::SystemTime()) {
      const auto ago = opentracing::SystemClock::now() - options.start_system_timestamp;
      return Believed(
          static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(ago).count()));
    }
    return 0;
  }

  TraceContext Child() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    TraceContext context = parent_;
    if (!parent_.valid()) context.flags = TraceContext::kSampled | TraceContext::kRandomId;
    context.trace_id = span_.trace_id;
    context.span_id = span_.span_id;
    return context;
  }

  // Counts as what it is from here on, and no more as what it was.
  void Become(OperationKind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    bool other = false;
    const Operation* const next =
        state_.operations.Find(name_, kind, kind == OperationKind::kClient ? peer_ : "", &other);
    if (other) state_.unnamed.fetch_add(1, std::memory_order_relaxed);
    const bool first = operation_ == nullptr;
    operation_ = next;
    if (first) {
      span_.trace_id = parent_.valid() ? parent_.trace_id : NewTraceId();
      span_.parent_id = parent_.valid() ? parent_.span_id : 0;
      span_.span_id = NewSpanId();
    }
    if (kind == OperationKind::kClient) {
      ticket_.MoveTo(next->outbound);
      if (!first) return;
      state_.called.fetch_add(1, std::memory_order_relaxed);
      if (child_ && parent_.valid()) {
        request_ = internal::CallStarts(internal::OpenRequestKey(parent_.span_id, state_.service),
                                        state_.blocked);
      }
    } else if (first) {
      ticket_.MoveTo(state_.running);
      state_.served.fetch_add(1, std::memory_order_relaxed);
      request_ = internal::OpenTheRequest(internal::OpenRequestKey(span_.span_id, state_.service));
    }
  }

  void End(SteadyTime given) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(ended_, true) || operation_ == nullptr) return;
    std::uint64_t stamp = state_.clock.Stamp();
    if (given != SteadyTime()) {
      const double given_ns = static_cast<double>(NsBetween(start_, given));
      const double ours_ns = static_cast<double>(static_cast<std::int64_t>(stamp - start_stamp_)) /
                             state_.stamps_per_ns;
      if (given_ns >= 0 && std::abs(given_ns - ours_ns) > kBelievedNs + given_ns * 1e-3) {
        stamp = start_stamp_ +
                static_cast<std::uint64_t>(std::llround(given_ns * state_.stamps_per_ns));
      }
    }
    if (operation_->kind == OperationKind::kServer) {
      span_.Set(static_cast<std::size_t>(ServerStamp::kHandlerStart), start_stamp_);
      span_.Set(static_cast<std::size_t>(ServerStamp::kHandlerEnd), stamp);
      internal::CloseTheRequest(request_, state_.blocked);
      operation_->served.Record(span_);
    } else {
      span_.Set(static_cast<std::size_t>(ClientStamp::kCallStart), start_stamp_);
      span_.Set(static_cast<std::size_t>(ClientStamp::kCallEnd), stamp);
      operation_->called.Record(span_);
    }
    ticket_.Leave();
    if (operation_->kind == OperationKind::kClient) internal::CallEnds(request_, state_.blocked);
  }

  const std::shared_ptr<const OpenTracingTracer> tracer_;
  OpenTracingTracer::State& state_;
  internal::Mutex mutex_;
  std::string name_ ABSL_GUARDED_BY(mutex_);
  std::string peer_ ABSL_GUARDED_BY(mutex_);
  bool child_ = false;  // of parent_; else it follows from it
  TraceContext parent_;
  OpenTracingContext context_;
  SteadyTime start_;
  std::uint64_t start_stamp_ = 0;
  const Operation* operation_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: an inner span
  Ticket ticket_ ABSL_GUARDED_BY(mutex_);
  internal::OpenRequest request_ ABSL_GUARDED_BY(mutex_);  // its own, or the one that it blocks
  RawSpan span_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

OpenTracingTracer::OpenTracingTracer(std::unique_ptr<State> state) : state_(std::move(state)) {}
OpenTracingTracer::~OpenTracingTracer() = default;

absl::StatusOr<std::shared_ptr<OpenTracingTracer>> OpenTracingTracer::Create(
    const OpenTracingOptions& options) {
  if (options.max_operations < 2 || options.max_operations > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_operations: ", options.max_operations, " is not from 2 to 65536"));
  }
  for (const auto& [operation, callee] : options.callees) {
    if (callee == internal::FittingName(callee, 63)) continue;
    return absl::InvalidArgumentError(absl::StrCat("callees: the service of ", operation,
                                                   " is not a name of 1 to 63 printable bytes"));
  }
  QueueRegistry& queues = options.queues != nullptr ? *options.queues : QueueRegistry::Global();
  SpanRecorder& recorder = options.recorder != nullptr ? *options.recorder : SpanRecorder::Global();
  auto state = std::make_unique<State>(options, &queues, &recorder);
  // These check the service's name too.
  SEER_ASSIGN_OR_RETURN(state->clock, recorder.AddServed(options.service, "(other)"));
  SEER_ASSIGN_OR_RETURN(state->running, queues.AddQueue(options.service, Channel::kRunning));
  SEER_ASSIGN_OR_RETURN(state->blocked, queues.AddQueue(options.service, Channel::kBlocked));
  SEER_RETURN_IF_ERROR(state->operations.Open());
  state->stamps_per_ns = StampsPerNs(state->clock);
  return std::shared_ptr<OpenTracingTracer>(new OpenTracingTracer(std::move(state)));
}

std::unique_ptr<opentracing::Span> OpenTracingTracer::StartSpanWithOptions(
    opentracing::string_view operation,
    const opentracing::StartSpanOptions& options) const noexcept {
  try {
    return std::make_unique<OpenTracingSpan>(shared_from_this(), View(operation), options);
  } catch (const std::exception&) {  // no memory
    return nullptr;
  }
}

namespace {

const OpenTracingContext* Ours(const opentracing::SpanContext& context) {
  const auto* const ours = dynamic_cast<const OpenTracingContext*>(&context);
  return ours != nullptr && ours->trace.valid() ? ours : nullptr;
}

// An inner span that belongs to no request has nothing to tell, and that is no error.
opentracing::expected<void> NothingFrom(const opentracing::SpanContext& context) {
  if (dynamic_cast<const OpenTracingContext*>(&context) != nullptr) return {};
  return opentracing::make_unexpected(opentracing::invalid_span_context_error);
}

}  // namespace

opentracing::expected<void> OpenTracingTracer::Inject(const opentracing::SpanContext& context,
                                                      std::ostream& writer) const {
  const OpenTracingContext* const ours = Ours(context);
  return ours == nullptr ? NothingFrom(context) : internal::InjectBinary(*ours, writer);
}
opentracing::expected<void> OpenTracingTracer::Inject(
    const opentracing::SpanContext& context, const opentracing::TextMapWriter& writer) const {
  const OpenTracingContext* const ours = Ours(context);
  if (ours == nullptr) return NothingFrom(context);
  return internal::InjectText(*ours, state_->options.headers, /*encode=*/false, writer);
}
opentracing::expected<void> OpenTracingTracer::Inject(
    const opentracing::SpanContext& context, const opentracing::HTTPHeadersWriter& writer) const {
  const OpenTracingContext* const ours = Ours(context);
  if (ours == nullptr) return NothingFrom(context);
  return internal::InjectText(*ours, state_->options.headers, /*encode=*/true, writer);
}

opentracing::expected<std::unique_ptr<opentracing::SpanContext>> OpenTracingTracer::Extract(
    std::istream& reader) const {
  return internal::ExtractBinary(reader);
}
opentracing::expected<std::unique_ptr<opentracing::SpanContext>> OpenTracingTracer::Extract(
    const opentracing::TextMapReader& reader) const {
  return internal::ExtractText(/*encoded=*/false, reader);
}
opentracing::expected<std::unique_ptr<opentracing::SpanContext>> OpenTracingTracer::Extract(
    const opentracing::HTTPHeadersReader& reader) const {
  return internal::ExtractText(/*encoded=*/true, reader);
}

OpenTracingCounts OpenTracingTracer::counts() const {
  OpenTracingCounts counts;
  // Relaxed: each is right by itself; together they may be of different moments.
  counts.served = state_->served.load(std::memory_order_relaxed);
  counts.called = state_->called.load(std::memory_order_relaxed);
  counts.inner = state_->inner.load(std::memory_order_relaxed);
  counts.unnamed = state_->unnamed.load(std::memory_order_relaxed);
  return counts;
}

SEER_END_NAMESPACE
