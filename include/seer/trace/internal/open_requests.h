// Flow: (internal) served request, its calls -> [OpenRequests] -> `blocked`
//
// Which requests of this process wait for a call of their own: a request is in the queue `blocked`
// from the start of its first call to the end of its last. A call knows of its request only the
// span id, which may have come to another thread, or through a map of strings; hence a table of
// the requests that are being served, by that id.
//
// The table has a fixed size, and a request that finds no place in it is not counted as blocked.
// Nothing waits: a place is an id and a word with a generation, whether the request is open, and
// how many calls it has.
//
// Invariants:
//  1. An id is random and used once. While a place's id is X, its word is that of X's request, or
//     of one before that is closed.
//  2. Calls change the word by compare-and-set only while it is open in the generation that they
//     know; so each step from 0 calls to 1 is answered by one from 1 to 0, or by the request's end,
//     and every Enter() by one Leave().
//  3. Enter() comes before the step that allows others to Leave().
//
// Threads: any; lock-free. Cost: two or three atomic operations at each end of a call or request.
#pragma once

#include <cstdint>
#include <string_view>

#include "seer/core/config.h"
#include "seer/queue/registry.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// A request's place, or a call's claim to one; default: none.
struct OpenRequest {
  std::uint32_t place = 0;  // one more than its number
  std::uint32_t generation = 0;
};

std::uint64_t ServiceNumber(std::string_view service) noexcept;

// `key`: the span id, mixed with a number of the service, so that a call counts as blocking only
// requests of the service that makes it (the queue would be another one).
std::uint64_t OpenRequestKey(std::uint64_t span_id, std::uint64_t service) noexcept;

OpenRequest OpenTheRequest(std::uint64_t key) noexcept;
// Leaves `blocked` if calls are still open: they cannot do so any more.
void CloseTheRequest(OpenRequest request, Queue blocked) noexcept;
bool IsOpenRequest(std::uint64_t key) noexcept;

// None where no such request is open.
OpenRequest CallStarts(std::uint64_t key, Queue blocked) noexcept;
void CallEnds(OpenRequest request, Queue blocked) noexcept;

}  // namespace internal
SEER_END_NAMESPACE
