// What the calling thread takes from the heap, for tests that bound it. Linking
// tests/support/allocations.cc replaces operator new and delete in the whole test program.
//
//   Allocations allocations;
//   DecodeTo(bytes, &snapshot);
//   EXPECT_EQ(allocations.count(), 0u);
#pragma once

#include <cstddef>

namespace seer::testing {

class Allocations {
 public:
  Allocations();
  std::size_t count() const;       // calls of operator new since construction
  std::size_t peak_bytes() const;  // most that was held at once, above what was held before
};

}  // namespace seer::testing
