// Flow: (internal) the name that a hook reports -> [MethodTable] -> ServedMethod, CalledMethod
//
// What stands for a method in the recorder, found by its name on every call without a lock. By the
// bytes of the name, not by its address: generated code passes literals, hand-written processors
// pass what they like, and after dlclose() another literal may stand at the same address.
//
// Names come from the peer at worst: at most kMaxNames are kept, all further ones are kOther.
//
// Threads: Find() from any thread. Cost: some 25 instructions up to 16 bytes, the comparison of the
//          rest beyond; a new name takes a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
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
    const Ends ends(name);
    // Ends: at most half of the slots are ever taken.
    for (std::size_t slot = ends.Hash();; ++slot) {
      // [A] acquire, pairs with [B]: seeing the entry means seeing what is in it.
      const Entry* const entry = slots_[slot % kSlots].load(std::memory_order_acquire);
      if (entry == nullptr) return Add(name, make);
      if (entry->ends == ends && (name.size() <= Ends::kAll ||
                                  std::memcmp(entry->name.data(), name.data(), name.size()) == 0)) {
        return entry->method;
      }
    }
  }

 private:
  static constexpr std::size_t kSlots = 2 * kMaxNames;  // a power of two

  // The first and the last eight bytes of a name, or what there is of them, and its length: all of
  // a name of up to 16 bytes, and most of what tells the names of one service apart.
  struct Ends {
    static constexpr std::size_t kAll = 16;
    explicit Ends(std::string_view name) noexcept : size(name.size()) {
      const char* const text = name.data();
      if (size >= 8) {
        first = Load<std::uint64_t>(text);
        last = Load<std::uint64_t>(text + size - 8);
      } else if (size >= 4) {
        first = Load<std::uint32_t>(text);
        last = Load<std::uint32_t>(text + size - 4);
      } else if (size > 0) {
        first = std::uint64_t{Load<std::uint8_t>(text)} |
                std::uint64_t{Load<std::uint8_t>(text + size / 2)} << 8;
        last = Load<std::uint8_t>(text + size - 1);
      }
    }
    std::size_t Hash() const noexcept {
      return static_cast<std::size_t>(
          (first ^ (last << 29 | last >> 35) ^ size) * 0x9e3779b97f4a7c15u >> 48);
    }
    friend bool operator==(const Ends& a, const Ends& b) noexcept {
      return a.first == b.first && a.last == b.last && a.size == b.size;
    }

    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::size_t size;

   private:
    template <typename Word>
    static Word Load(const char* from) noexcept {
      Word word;
      std::memcpy(&word, from, sizeof(word));
      return word;
    }
  };
  // What each call reads is one line of the cache.
  struct alignas(64) Entry {
    Entry(std::string_view its_name, const Method& its_method)
        : ends(its_name), method(its_method), name(its_name) {}
    const Ends ends;
    const Method method;
    const std::string name;
  };

  template <typename Make>
  const Method& Add(std::string_view name, const Make& make) {
    MutexLock lock(&mutex_);
    const bool full = entries_.size() >= kMaxNames;
    if (full) {
      if (!other_) other_ = std::make_unique<Entry>(kOther, make(kOther));
      if (Entry* known = Known(name)) return known->method;
      return other_->method;
    }
    if (Entry* known = Known(name)) return known->method;  // another thread was first
    entries_.push_back(std::make_unique<Entry>(name, make(name)));
    std::size_t slot = Ends(name).Hash();
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
