// Flow: RPC -> [TraceContext] -> RPC: which request the work of this thread belongs to
//
// A context names the request (trace id) and the call within it (span id). It is current on a
// thread while a ContextScope lives there, and travels with whatever is called: as a header
// (propagation.h), or bound to a function that another thread will run.
//
//   seer::ContextScope scope(seer::NewChild(caller));            // server: a request has come in
//   seer::Inject(seer::CurrentContext(), &headers);              // a call to the next service
//   auto posts = std::async(std::launch::async, seer::Bind([&] { return client.ReadPosts(); }));
//
// Without Bind() the other thread would start with no context, and the trace would end there.
//
// The W3C tracestate of other tracers is carried along, at most 512 bytes of it, and never read.
// It is shared, not copied: a context costs the same with and without it.
//
// Threads: TraceContext is a plain value. A ContextScope belongs to the thread and the block that
//          made it; CurrentContext() is the calling thread's. A coroutine that moves to another
//          thread must not hold a scope over the suspension: Bind() what is resumed.
// Cost:    no lock, no system call, no allocation but what Bind() keeps of the function. Scope and
//          ids are a few ns each (benchmarks/RESULTS.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "seer/core/config.h"
#include "seer/core/span.h"

SEER_BEGIN_NAMESPACE

struct TraceContext {
  // As in W3C Trace Context. Other bits are not carried: their meaning is not known.
  static constexpr std::uint8_t kSampled = 1;   // the caller may have recorded the request
  static constexpr std::uint8_t kRandomId = 2;  // the low 56 bits of the trace id are random

  TraceId trace_id;
  std::uint64_t span_id = 0;  // of the calling span: the parent of what the callee records
  std::uint8_t flags = 0;
  // W3C tracestate, 1 to 512 bytes of valid list members; null: none. Only ParseTracestate()
  // (propagation.h) makes one.
  std::shared_ptr<const std::string> tracestate;

  bool valid() const noexcept { return trace_id.valid() && span_id != 0; }
  bool sampled() const noexcept { return (flags & kSampled) != 0; }

  friend bool operator==(const TraceContext& a, const TraceContext& b) {
    return a.trace_id == b.trace_id && a.span_id == b.span_id && a.flags == b.flags &&
           (a.tracestate == b.tracestate ||
            (a.tracestate && b.tracestate && *a.tracestate == *b.tracestate));
  }
  friend bool operator!=(const TraceContext& a, const TraceContext& b) { return !(a == b); }
};

// ---- Ids. Random, never zero; unique over threads, processes and forks as far as 64 random bits
// are (id_generator.cc). Seeded from the operating system once a thread and after each fork.

std::uint64_t NewSpanId() noexcept;
TraceId NewTraceId() noexcept;

// A request that begins here. Sampled: seer records every request.
TraceContext NewRoot() noexcept;
// The same request, one call further. A new root where the parent is not valid.
TraceContext NewChild(const TraceContext& parent) noexcept;

// ---- The context of this thread.

namespace internal {
// A pointer, and so without a constructor: reading it is one instruction.
inline thread_local const TraceContext* current_context = nullptr;

// Never destroyed: other objects' destructors may still ask for the context at the program's end.
struct NoContext {
  constexpr NoContext() : context() {}
  ~NoContext() {}
  union {
    TraceContext context;
  };
};
inline const NoContext no_context;
}  // namespace internal

// Not valid() where no scope is open. The reference lives as long as the innermost scope does.
inline const TraceContext& CurrentContext() noexcept {
  const TraceContext* current = internal::current_context;
  return current != nullptr ? *current : internal::no_context.context;
}

// Makes a context current until the end of the block, then the one before. An invalid context is
// as good as any: work that belongs to no request.
class ContextScope {
 public:
  explicit ContextScope(TraceContext context) noexcept
      : context_(std::move(context)), before_(internal::current_context) {
    internal::current_context = &context_;
  }
  ~ContextScope() {
    SEER_DCHECK(internal::current_context == &context_);  // scopes end in the order of blocks
    internal::current_context = before_;
  }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

  const TraceContext& context() const noexcept { return context_; }

 private:
  const TraceContext context_;
  const TraceContext* const before_;
};

namespace internal {

template <typename Function>
class BoundFunction {
 public:
  template <typename F>
  BoundFunction(const TraceContext& context, F&& function)
      : context_(context), function_(std::forward<F>(function)) {}

  template <typename... Args>
  std::invoke_result_t<Function&, Args...> operator()(Args&&... args) & {
    ContextScope scope(context_);
    return std::invoke(function_, std::forward<Args>(args)...);
  }
  template <typename... Args>
  std::invoke_result_t<const Function&, Args...> operator()(Args&&... args) const& {
    ContextScope scope(context_);
    return std::invoke(function_, std::forward<Args>(args)...);
  }
  template <typename... Args>
  std::invoke_result_t<Function, Args...> operator()(Args&&... args) && {
    ContextScope scope(context_);
    return std::invoke(std::move(function_), std::forward<Args>(args)...);
  }

 private:
  TraceContext context_;
  Function function_;
};

}  // namespace internal

// `function`, to be called with the given context on whatever thread, as often as it likes. Takes
// move-only functions; copyable if the function is.
template <typename Function>
internal::BoundFunction<std::decay_t<Function>> Bind(const TraceContext& context,
                                                     Function&& function) {
  return {context, std::forward<Function>(function)};
}
// With the context that is current here and now.
template <typename Function>
internal::BoundFunction<std::decay_t<Function>> Bind(Function&& function) {
  return {CurrentContext(), std::forward<Function>(function)};
}

SEER_END_NAMESPACE
