// A processor of a test's making: counters that count what they are told to, lie, take turns, or
// are not there.
#pragma once

#include <cerrno>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "seer/hwmon/perf_events.h"

namespace seer::testing {

class FakeProcessor final : public PerfEvents {
 public:
  explicit FakeProcessor(EventTable table) : table_(table) {}

  // What a thread does: added to its counters.
  void Run(int tid, double ns, double cycles, double instructions, double fills, double stalls) {
    Thread& thread = threads_[tid];
    thread.ns += static_cast<std::uint64_t>(ns);
    const double values[] = {cycles, instructions, fills, stalls};
    for (std::size_t i = 0; i < kCounterKinds; ++i) {
      thread.values[i] += static_cast<std::uint64_t>(values[i]);
    }
  }

  int counters = 8;               // as many can run at once; further ones take turns with them
  int true_counters = 1000;       // further ones stay at 0 while the kernel says that they ran
  int open_error = 0;             // every Open fails with it
  std::set<CounterKind> unknown;  // Open of these fails with ENOENT
  double running_share = 1;       // of the time enabled
  std::ptrdiff_t read_error = 0;  // every Read gives this instead, if it is not 0
  bool short_reads = false;
  bool dead_instructions = false;  // of other threads than the calling one: after the self-test
  int most_open = 0, opens = 0;

  int open() const { return static_cast<int>(files_.size()); }

  int Open(const CounterRequest& request) override {
    ++opens;
    if (open_error != 0) return -open_error;
    const CounterKind kind = KindOf(request.event);
    if (unknown.count(kind) != 0) return -ENOENT;
    if (request.leader >= 0 && files_.count(request.leader) == 0) return -EBADF;
    File file;
    file.kind = kind;
    file.key = request.pid == 0 ? 0 : request.cgroup ? 1000 + request.cpu : request.pid;
    file.start = threads_[file.key];
    file.dead = open() >= true_counters;
    file.takes_turns = open() >= counters;
    const int fd = next_fd_++;
    file.members = {fd};
    files_[fd] = file;
    if (request.leader >= 0) files_[request.leader].members.push_back(fd);
    most_open = std::max(most_open, open());
    return fd;
  }

  std::ptrdiff_t Read(int fd, absl::Span<std::uint64_t> words) override {
    if (read_error != 0) return read_error;
    if (short_reads) return 2;
    File& leader = files_.at(fd);
    if (leader.key == 0) {
      // The self-test: so many instructions between two looks, and a few more or less.
      threads_[0].values[1] += 80'000 + static_cast<std::uint64_t>(leader.looks % 3) * 50;
      threads_[0].ns += 30'000;
      ++leader.looks;
    }
    const Thread& now = threads_[leader.key];
    words[0] = leader.members.size();
    words[1] = now.ns - leader.start.ns;
    words[2] = static_cast<std::uint64_t>(static_cast<double>(words[1]) * (leader.takes_turns ? 0.5
                                                                           : leader.key == 0
                                                                               ? 1
                                                                               : running_share));
    std::size_t i = 3;
    for (const int member : leader.members) {
      const File& file = files_.at(member);
      const auto kind = static_cast<std::size_t>(file.kind);
      std::uint64_t value = now.values[kind] - file.start.values[kind];
      // Each counter of the self-test sees its own share of the loop only.
      if (leader.key == 0) value = static_cast<std::uint64_t>(leader.looks) * 80'000;
      if (file.dead) value = 0;
      if (dead_instructions && leader.key != 0 && file.kind == CounterKind::kInstructions)
        value = 0;
      words[i++] = static_cast<std::uint64_t>(static_cast<double>(value) *
                                              (leader.key == 0 ? 1 : running_share));
    }
    return static_cast<std::ptrdiff_t>(i);
  }

  void Close(int fd) override { files_.erase(fd); }

 private:
  struct Thread {
    std::uint64_t ns = 0;
    std::uint64_t values[kCounterKinds] = {};
  };
  struct File {
    CounterKind kind = CounterKind::kCycles;
    int key = 0;
    Thread start;
    bool dead = false, takes_turns = false;
    int looks = 0;
    std::vector<int> members;
  };
  CounterKind KindOf(const CounterEvent& event) const {
    for (std::size_t i = 0; i < kCounterKinds; ++i) {
      if (table_.events[i].type == event.type && table_.events[i].config == event.config) {
        return static_cast<CounterKind>(i);
      }
    }
    return CounterKind::kCycles;
  }

  const EventTable table_;
  std::map<int, Thread> threads_;
  std::map<int, File> files_;
  int next_fd_ = 100;
};

}  // namespace seer::testing
