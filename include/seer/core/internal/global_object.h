// Flow: (internal) options, the first use -> [GlobalObject] -> what a process has one of
//
// An object that is made on first use, shared by all of the process, and never destroyed: it
// outlives every static destructor. Without a lock, which a forked child would find held for ever
// if another thread of its parent was here.
//
//   GlobalObject<SpanRecorder, RecorderOptions> global;                  // a static variable
//   return global.Get([](const RecorderOptions& options) { return ...; });   // std::unique_ptr
//
// Threads: any. Cost: Get() one load; the first one makes the object.
#pragma once

#include <atomic>
#include <memory>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

template <typename Object, typename Options>
class GlobalObject {
 public:
  constexpr GlobalObject() = default;
  GlobalObject(const GlobalObject&) = delete;
  GlobalObject& operator=(const GlobalObject&) = delete;

  // make(options) gives a std::unique_ptr<Object> that is not null. Threads that come at the same
  // time may each make one; the first that is there stays, the others go.
  template <typename Make>
  Object& Get(const Make& make) {
    if (Object* const there = object_.load(std::memory_order_acquire)) return *there;  // [G]
    const Set* const set = options_.load(std::memory_order_acquire);                   // [O]
    std::unique_ptr<Object> fresh = make(set == nullptr ? Options() : set->options);
    Object* there = nullptr;
    if (object_.compare_exchange_strong(there, fresh.get(), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {  // [G]
      return *fresh.release();
    }
    return *there;
  }

  // False: the object is there already, and they would come too late.
  bool SetOptions(const Options& options) {
    if (object_.load(std::memory_order_acquire) != nullptr) return false;            // [G]
    auto* const fresh = new Set{options, options_.load(std::memory_order_acquire)};  // [O]
    while (!options_.compare_exchange_weak(fresh->before, fresh, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {  // [O]
    }
    return true;
  }

 private:
  struct Set {
    Options options;
    const Set* before;  // somebody may be reading them: kept
  };
  // [G] release when it is made, acquire before it is used.
  std::atomic<Object*> object_{nullptr};
  // [O] release when they are set, acquire before they are read.
  std::atomic<const Set*> options_{nullptr};
};

}  // namespace internal
SEER_END_NAMESPACE
