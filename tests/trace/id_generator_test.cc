#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <thread>
#include <unordered_set>
#include <vector>

#include "seer/trace/context.h"

namespace seer {
namespace {

TEST(NewIds, AreNotZeroAndNeverTwiceTheSame) {
  std::unordered_set<std::uint64_t> seen;
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t id = NewSpanId();
    ASSERT_NE(id, 0u);
    ASSERT_TRUE(seen.insert(id).second);
  }
  const TraceId trace = NewTraceId();
  EXPECT_NE(trace.high, trace.low);
  EXPECT_TRUE(trace.valid());
}

TEST(NewIds, UseAllBits) {
  std::array<int, 64> ones = {};
  constexpr int kDraws = 4096;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t id = NewSpanId();
    for (int b = 0; b < 64; ++b) ones[static_cast<std::size_t>(b)] += static_cast<int>(id >> b & 1);
  }
  // Eight standard deviations (32) from one half.
  for (int count : ones) EXPECT_NEAR(count, kDraws / 2, 8 * 32);
}

TEST(NewIds, RootsAndChildren) {
  const TraceContext root = NewRoot();
  EXPECT_TRUE(root.valid());
  EXPECT_TRUE(root.sampled());
  TraceContext parent = root;
  parent.flags = 0;
  const TraceContext child = NewChild(parent);
  EXPECT_EQ(child.trace_id, root.trace_id);
  EXPECT_NE(child.span_id, root.span_id);
  EXPECT_FALSE(child.sampled());  // somebody else's decision is passed on
  EXPECT_TRUE(NewChild(TraceContext()).valid());
}

TEST(NewIdsConcurrency, ThreadsDrawDifferentIds) {
  constexpr std::size_t kThreads = 4, kEach = 20'000;
  std::vector<std::vector<std::uint64_t>> drawn(kThreads);
  std::vector<std::thread> threads;
  for (auto& ids : drawn) {
    threads.emplace_back([&ids] {
      for (std::size_t i = 0; i < kEach; ++i) ids.push_back(NewSpanId());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::unordered_set<std::uint64_t> seen;
  for (const auto& ids : drawn) seen.insert(ids.begin(), ids.end());
  EXPECT_EQ(seen.size(), kThreads * kEach);
}

using Ids = std::array<std::uint64_t, 64>;
Ids Draw() {
  Ids ids;
  std::generate(ids.begin(), ids.end(), NewSpanId);
  return ids;
}

// What a child of `make_child` draws, and its child in turn.
template <typename MakeChild>
void CheckFork(const MakeChild& make_child) {
  (void)NewSpanId();  // the parent's generator is seeded
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const auto send = [&] {
    const Ids ids = Draw();
    return write(pipe_ends[1], ids.data(), sizeof(ids)) == sizeof(ids);
  };
  const pid_t child = make_child();
  if (child == 0) {
    bool sent = send();
    const pid_t grandchild = make_child();
    if (grandchild == 0) _exit(send() ? 0 : 1);
    int status = 1;
    sent = waitpid(grandchild, &status, 0) == grandchild && status == 0 && sent;
    sent = send() && sent;
    _exit(sent ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  std::unordered_set<std::uint64_t> seen;
  std::size_t drawn = 0;
  const auto add = [&](const Ids& ids) {
    seen.insert(ids.begin(), ids.end());
    drawn += ids.size();
  };
  add(Draw());
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (int i = 0; i < 3; ++i) {
    Ids ids;
    ASSERT_EQ(read(pipe_ends[0], ids.data(), sizeof(ids)), static_cast<ssize_t>(sizeof(ids)));
    add(ids);
  }
  EXPECT_EQ(seen.size(), drawn);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST(NewIds, AForkedChildDoesNotRepeatItsParent) { CheckFork(fork); }

#if !defined(__SANITIZE_THREAD__)  // which follows fork() only
// Not every runtime forks through the C library, whose handlers do not run then.
TEST(NewIds, NorDoesOneThatTheKernelCloned) {
  CheckFork([] {
    return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  });
}
#endif

}  // namespace
}  // namespace seer
