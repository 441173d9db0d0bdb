// What goes wrong, and when: a script that a seed decides.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace social {

enum class FaultKind {
  kCpuQuota,   // the target may use a fortieth of a processor
  kStopped,    // stopped for most of the time, again and again
  kLock,       // a lock in its handlers, held for long
  kPool,       // one worker is left, and its work takes longer
  kCycle,      // compose-post in the protocol with a cycle, with two workers
  kTableLock,  // somebody locks a table of the database
  kBandwidth,  // little goes through the network to and from the target
  kDrops,      // packets to and from the target are dropped
  kDisk,       // somebody writes to the disk as fast as it goes: harmless, mostly
};
inline constexpr std::size_t kFaultKinds = 9;
const char* NameOf(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::kLock;
  std::string target;         // a service or store
  std::int64_t start_ns = 0;  // since the script began
  std::int64_t end_ns = 0;
  std::uint32_t wait_us = 0;  // of handlers: kLock, kPool

  // The cause that a diagnosis should find, by its name in core/diagnosis.h.
  const char* cause() const;
  std::string Describe() const;
};

struct ScriptOptions {
  std::uint64_t seed = 1;
  std::int64_t first_ns = 15'000'000'000;
  std::int64_t every_ns = 15'000'000'000;  // 3/4 to 5/4 of that
  std::int64_t end_ns = 0;                 // no fault ends later
  std::set<FaultKind> possible;            // others are left out, and the rest stays the same
  // To learn from: each kind once, in any order, then all of them again, and so the targets of each
  // kind. Else each is drawn for itself, and some never come.
  bool all_in_turn = false;
};
// In the order of their starts; no two at the same time.
std::vector<Fault> MakeScript(const ScriptOptions& options);

}  // namespace social
