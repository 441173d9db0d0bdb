// Flow: (every stage) the few macros and constants that every header of seer uses
#pragma once

#include <cassert>
#include <cstddef>

#include "seer/core/version.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "seer's byte formats are little-endian, and so must the machine be"
#endif

// A bug in seer or in its caller, checked in debug builds only. What a host can get wrong at run
// time is an absl::Status, never a SEER_DCHECK.
#define SEER_DCHECK(condition) assert(condition)

SEER_BEGIN_NAMESPACE

// The distance that keeps two hot words from sharing a cache line. A constant of ours, because
// std::hardware_destructive_interference_size changes with compiler flags and so with the ABI.
inline constexpr std::size_t kCacheLine = 64;

SEER_END_NAMESPACE
