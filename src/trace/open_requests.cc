#include "seer/trace/internal/open_requests.h"

#include <array>
#include <atomic>
#include <functional>

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::size_t kPlaces = 8192;  // 128 KiB, of which only what is used becomes memory
constexpr std::size_t kProbes = 8;

// The word: generation 31 bits, open 1 bit, number of calls 32 bits.
constexpr std::uint64_t kOpen = std::uint64_t{1} << 32;
constexpr int kGenerationBit = 33;

std::uint32_t GenerationOf(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> kGenerationBit);
}
std::uint32_t CallsOf(std::uint64_t word) { return static_cast<std::uint32_t>(word); }

struct PlaceOfRequest {
  std::atomic<std::uint64_t> key;  // 0: free
  std::atomic<std::uint64_t> word;
};
// Zeros from the start, and never destroyed.
std::array<PlaceOfRequest, kPlaces> places;

PlaceOfRequest& Probe(std::uint64_t key, std::size_t i) { return places[(key + i) % kPlaces]; }

bool IsOf(std::uint64_t word, const OpenRequest& request) {
  return (word & kOpen) != 0 && GenerationOf(word) == request.generation;
}

}  // namespace

std::uint64_t ServiceNumber(std::string_view service) noexcept {
  return std::hash<std::string_view>()(service);
}

std::uint64_t OpenRequestKey(std::uint64_t span_id, std::uint64_t service) noexcept {
  // Ids of other tracers need not be random in their low bits.
  std::uint64_t key = (span_id ^ service) * 0x9e3779b97f4a7c15u;
  key ^= key >> 32;
  return key != 0 ? key : 1;
}

OpenRequest OpenTheRequest(std::uint64_t key) noexcept {
  for (std::size_t i = 0; i < kProbes; ++i) {
    PlaceOfRequest& place = Probe(key, i);
    std::uint64_t free = 0;
    // Acquire: pairs with [F], so the word is what the one before left. The look before and the
    // failure are relaxed: a place that is taken is passed by.
    if (place.key.load(std::memory_order_relaxed) != 0 ||
        !place.key.compare_exchange_strong(free, key, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
      continue;
    }
    // Nobody changes the word of a closed request but us; relaxed, as [F] has ordered it.
    const std::uint32_t generation =
        (GenerationOf(place.word.load(std::memory_order_relaxed)) + 1) & 0x7fffffffu;
    place.word.store(std::uint64_t{generation} << kGenerationBit | kOpen,
                     std::memory_order_release);  // [O]
    return {static_cast<std::uint32_t>(&place - places.data()) + 1, generation};
  }
  return {};
}

void CloseTheRequest(OpenRequest request, Queue blocked) noexcept {
  if (request.place == 0) return;
  PlaceOfRequest& place = places[request.place - 1];
  // Only calls change it meanwhile, and they look for kOpen. Acquire and release: what the calls
  // counted in `blocked` comes before our Leave(), and [F] after it.
  const std::uint64_t before = place.word.exchange(
      std::uint64_t{request.generation} << kGenerationBit, std::memory_order_acq_rel);
  if (CallsOf(before) != 0) blocked.Leave();
  place.key.store(0, std::memory_order_release);  // [F]
}

bool IsOpenRequest(std::uint64_t key) noexcept {
  for (std::size_t i = 0; i < kProbes; ++i) {
    if (Probe(key, i).key.load(std::memory_order_relaxed) == key) return true;  // only a hint
  }
  return false;
}

OpenRequest CallStarts(std::uint64_t key, Queue blocked) noexcept {
  for (std::size_t i = 0; i < kProbes; ++i) {
    PlaceOfRequest& place = Probe(key, i);
    // Acquire: the word is read after the key.
    if (place.key.load(std::memory_order_acquire) != key) continue;
    std::uint64_t word = place.word.load(std::memory_order_acquire);  // [O]
    // Still the same one: then the word was its own (invariant 1). Acquire keeps the order.
    if (place.key.load(std::memory_order_relaxed) != key || (word & kOpen) == 0) return {};
    const OpenRequest request = {static_cast<std::uint32_t>(&place - places.data()) + 1,
                                 GenerationOf(word)};
    bool entered = false;
    // Acquire and release: our Enter() comes before whoever sees this call in the word, and theirs
    // before what we do next.
    do {  // each round is another call's, or the end's, success
      if (!IsOf(word, request)) {
        if (entered) blocked.Leave();
        return {};
      }
      if (CallsOf(word) == 0 && !entered) {
        blocked.Enter();  // invariant 3
        entered = true;
      }
    } while (!place.word.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel,
                                               std::memory_order_acquire));
    if (entered && CallsOf(word) != 0) blocked.Leave();  // another call was first
    return request;
  }
  return {};
}

void CallEnds(OpenRequest request, Queue blocked) noexcept {
  if (request.place == 0) return;
  PlaceOfRequest& place = places[request.place - 1];
  // Relaxed: a first guess, which the exchange corrects. That one as in CallStarts().
  std::uint64_t word = place.word.load(std::memory_order_relaxed);
  do {
    if (!IsOf(word, request) || CallsOf(word) == 0) return;  // the request ended before
  } while (!place.word.compare_exchange_weak(word, word - 1, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
  if (CallsOf(word) == 1) blocked.Leave();
}

}  // namespace internal
SEER_END_NAMESPACE
