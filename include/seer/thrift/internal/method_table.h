// Flow: (internal) the name that a hook reports -> [MethodTable] -> ServedMethod, CalledMethod
//
// What stands for a method in the recorder, found by its name on every call without a lock. By the
// bytes of the name, not by its address: generated code passes literals, hand-written processors
// pass what they like, and after dlclose() another literal may stand at the same address.
//
// Names come from the peer at worst: at most kMaxNames are kept, all further ones are kOther.
//
// Threads: Find() from any thread. Cost: some 40 instructions; a new name takes a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"

SEER_BEGIN_NAMESPACE
namespace internal {

template <typename Method>
class MethodTable {
 public:
  static constexpr std::size_t kMaxNames = 256;
  static constexpr std::string_view kOther = "(other)";

  MethodTable() = default;
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  // make(std::string_view name) -> Method is called once for each name, under the table's lock.
  template <typename Make>
  const Method& Find(std::string_view name, const Make& make) {
    std::size_t slot = Hash(name);
    // Ends: at most half of the slots are ever taken.
    for (;; ++slot) {
      // [A] acquire, pairs with [B]: seeing the entry means seeing what is in it.
      const Entry* const entry = slots_[slot % kSlots].load(std::memory_order_acquire);
      if (entry == nullptr) return Add(name, make);
      if (entry->name.size() == name.size() &&
          std::memcmp(entry->name.data(), name.data(), name.size()) == 0) {
        return entry->method;
      }
    }
  }

 private:
  static constexpr std::size_t kSlots = 2 * (kMaxNames + 1);
  struct Entry {
    std::string name;
    Method method;
  };

  // The length and the last bytes: names of one service differ in their ends.
  static std::size_t Hash(std::string_view name) {
    std::uint64_t last = 0;
    if (name.size() >= sizeof(last)) {
      std::memcpy(&last, name.data() + name.size() - sizeof(last), sizeof(last));
    } else {
      for (const char c : name) last = last << 8 | static_cast<unsigned char>(c);
    }
    return static_cast<std::size_t>((last ^ name.size()) * 0x9e3779b97f4a7c15u >> 32);
  }

  template <typename Make>
  const Method& Add(std::string_view name, const Make& make) {
    MutexLock lock(&mutex_);
    const bool full = entries_.size() >= kMaxNames;
    if (full) {
      if (!other_) other_ = std::make_unique<Entry>(Entry{std::string(kOther), make(kOther)});
      if (Entry* known = Known(name)) return known->method;
      return other_->method;
    }
    if (Entry* known = Known(name)) return known->method;  // another thread was first
    entries_.push_back(std::make_unique<Entry>(Entry{std::string(name), make(name)}));
    std::size_t slot = Hash(name);
    while (slots_[slot % kSlots].load(std::memory_order_relaxed) != nullptr) ++slot;  // ours alone
    slots_[slot % kSlots].store(entries_.back().get(), std::memory_order_release);    // [B]
    return entries_.back()->method;
  }
  Entry* Known(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& entry : entries_) {
      if (entry->name == name) return entry.get();
    }
    return nullptr;
  }

  std::array<std::atomic<const Entry*>, kSlots> slots_{};
  Mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Entry> other_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace internal
SEER_END_NAMESPACE
