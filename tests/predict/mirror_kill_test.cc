// Three mirrors in three processes, with pipes between them, of which one is killed at any moment.
//
// The test is the network and the election: it carries deltas from the primary to the stand-bys,
// each of which lags by some of them, kills the primary with -9 while it works, elects the one that
// has most, and hands the nodes' messages to it from there on. A killed stand-by comes back with
// nothing and asks for the state. At the end all forecasts are those of a mirror that was never
// killed, bit by bit, and no tick came twice.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/predict/mirror.h"
#include "tests/predict/small_nodes.h"

namespace seer {
namespace {

using testing::BitsOf;
using testing::NodeInput;
using testing::SmallModel;
using testing::SmallNodes;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kKills = 20;
#else
constexpr int kKills = 200;
#endif

// A frame: a letter, the size, the bytes. False: the other side is gone.
bool Put(int to, char kind, const std::string& bytes) {
  std::string frame(1, kind);
  const auto size = static_cast<std::uint32_t>(bytes.size());
  frame.append(reinterpret_cast<const char*>(&size), sizeof(size));
  frame += bytes;
  for (std::size_t at = 0; at < frame.size();) {
    const ssize_t sent = send(to, frame.data() + at, frame.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}
bool GetBytes(int from, char* to, std::size_t size) {
  while (size > 0) {
    const ssize_t got = recv(from, to, size, 0);
    if (got <= 0) return false;
    to += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}
bool Get(int from, char* kind, std::string* bytes) {
  std::uint32_t size = 0;
  if (!GetBytes(from, kind, 1) || !GetBytes(from, reinterpret_cast<char*>(&size), sizeof(size))) {
    return false;
  }
  bytes->resize(size);
  return GetBytes(from, bytes->data(), size);
}

template <typename T>
std::string Packed(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}
template <typename T>
T Unpacked(const std::string& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

// The process: does as it is told. Whatever it should not be able to do ends it with a number.
[[noreturn]] void Serve(MirrorOptions options, int wire) noexcept {
  ManualClock clock;
  options.predictor.clock = &clock;
  const auto mirror = Mirror::Create(options).value();
  std::uint64_t sent = 0;
  const auto publish = [&] {
    const std::vector<std::string> deltas = mirror->DeltasAfter(sent).value();
    for (const std::string& delta : deltas) Put(wire, 'd', delta);
    sent = mirror->sequence();
  };
  char kind;
  std::string bytes;
  while (Get(wire, &kind, &bytes)) {
    if (kind == 't') {  // take over
      sent = mirror->sequence();
      if (!mirror->TakeOver(Unpacked<std::uint64_t>(bytes)).ok()) _exit(11);
      publish();
    } else if (kind == 'i') {  // an input: time and message
      clock.Set(Unpacked<std::int64_t>(bytes));
      if (!mirror->ObserveWire(std::string_view(bytes).substr(8)).ok()) _exit(12);
      publish();
      Put(wire, 'f', BitsOf(mirror->forecast()));
    } else if (kind == 'a') {  // a delta; the network may give one twice
      const absl::Status status = mirror->Apply(bytes);
      if (!status.ok() && !absl::IsAlreadyExists(status)) _exit(13);
    } else if (kind == 'l') {
      if (!mirror->LoadState(bytes).ok()) _exit(14);
    } else if (kind == 's') {
      Put(wire, 's', mirror->SaveState().value());
    } else if (kind == 'q') {
      Put(wire, 'q',
          Packed(mirror->sequence()) + Packed(mirror->health().ticks) + BitsOf(mirror->forecast()));
    }
  }
  _exit(0);
}

struct Child {
  pid_t process = 0;
  int wire = -1;
  std::uint64_t sequence = 0;  // that it was given or has done
};

class ThreeMirrors {
 public:
  explicit ThreeMirrors(const MirrorOptions& options) : options_(options) {
    for (Child& child : children_) Start(&child);
  }
  ~ThreeMirrors() {
    for (Child& child : children_) End(&child);
  }

  void Start(Child* child) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    child->process = fork();
    if (child->process == 0) {
      close(ends[0]);
      for (const Child& other : children_) {
        if (other.wire >= 0) close(other.wire);
      }
      Serve(options_, ends[1]);
    }
    close(ends[1]);
    child->wire = ends[0];
    child->sequence = 0;
  }
  // Its exit status, if it was not killed.
  int End(Child* child) {
    close(child->wire);
    child->wire = -1;
    int status = 0;
    waitpid(child->process, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  }
  // -9. What it sent before is still read.
  std::vector<std::pair<char, std::string>> Kill(Child* child) {
    kill(child->process, SIGKILL);
    std::vector<std::pair<char, std::string>> last;
    char kind;
    std::string bytes;
    while (Get(child->wire, &kind, &bytes)) last.emplace_back(kind, bytes);
    End(child);
    return last;
  }
  std::string Ask(const Child& child, char kind, const std::string& bytes = "") {
    std::string answer;
    if (!Put(child.wire, kind, bytes) || !Get(child.wire, &kind, &answer)) {
      int status = 0;
      waitpid(child.process, &status, 0);
      ADD_FAILURE() << "it ended by itself: " << (WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    return answer;
  }

  MirrorOptions options_;
  Child children_[3];
};

// How many of the nodes' messages are in the first so many deltas.
std::size_t MessagesIn(const std::vector<std::string>& history, std::uint64_t sequence) {
  std::size_t count = 0;
  for (std::uint64_t i = 0; i < sequence; ++i) {
    count += DecodeDelta(history[i])->kind == DeltaKind::kMessage ? 1 : 0;
  }
  return count;
}

class Campaign {
 public:
  Campaign(const MirrorOptions& options, std::uint32_t seed, int ticks)
      : inputs(SmallNodes(seed).Send(ticks)), random(seed), mirrors(options) {
    ManualClock clock;
    MirrorOptions mine = options;
    mine.predictor.clock = &clock;
    const auto whole = Mirror::Create(mine).value();
    EXPECT_TRUE(whole->TakeOver(1).ok());
    for (const NodeInput& input : inputs) {
      clock.Set(input.time_ns);
      EXPECT_TRUE(whole->ObserveWire(input.bytes).ok());
      expected.push_back(BitsOf(whole->forecast()));
    }
    ticks_expected = whole->health().ticks;
    Elect();
  }

  Child& primary() { return mirrors.children_[leader]; }

  // The one with most becomes primary; what the other has not is sent to it.
  void Elect() {
    for (std::size_t i = 0; i < 3; ++i) {
      Child& child = mirrors.children_[i];
      if (child.wire < 0) continue;
      if (primary().wire < 0 || child.sequence > primary().sequence) leader = i;
    }
    history.resize(primary().sequence);  // what nobody has any more never was
    next = MessagesIn(history, primary().sequence);
    history.push_back(mirrors.Ask(primary(), 't', Packed(++term)));
    ASSERT_TRUE(DecodeDelta(history.back()).ok());
    primary().sequence = history.size();
  }

  // Deltas to the stand-bys, all or so many that each lacks some.
  void Relay(bool all) {
    for (Child& child : mirrors.children_) {
      if (child.wire < 0 || &child == &primary()) continue;
      // It joins by the state, or from the start.
      if (child.sequence == 0 && primary().wire >= 0 && random() % 2 == 0) {
        ASSERT_TRUE(Put(child.wire, 'l', mirrors.Ask(primary(), 's')));
        child.sequence = primary().sequence;
      }
      const std::uint64_t lag = all ? 0 : random() % 8;
      while (child.sequence + lag < history.size()) {
        const std::string& delta = history[child.sequence++];
        ASSERT_TRUE(Put(child.wire, 'a', delta));
        if (random() % 16 == 0) {
          ASSERT_TRUE(Put(child.wire, 'a', delta));
        }
      }
    }
  }

  // What the primary answers to one input: a delta and a forecast.
  void Take(char kind, const std::string& bytes) {
    if (kind == 'd') {
      history.push_back(bytes);
      primary().sequence = history.size();
    } else {
      ASSERT_EQ(bytes, expected[next]) << "input " << next;
      ++next;
    }
  }
  void Give() {
    ASSERT_TRUE(Put(primary().wire, 'i', Packed(inputs[next].time_ns) + inputs[next].bytes));
    for (int i = 0; i < 2; ++i) {
      char kind;
      std::string bytes;
      ASSERT_TRUE(Get(primary().wire, &kind, &bytes));
      Take(kind, bytes);
    }
  }

  void KillPrimary() {
    // It has several inputs to work on, and ends in the middle of them.
    const std::size_t ahead = std::min<std::size_t>(random() % 6, inputs.size() - next);
    for (std::size_t i = 0; i < ahead; ++i) {
      const NodeInput& input = inputs[next + i];
      ASSERT_TRUE(Put(primary().wire, 'i', Packed(input.time_ns) + input.bytes));
    }
    for (auto i = random() % 3000; i > 0; --i) (void)getppid();
    const std::size_t dead = leader;
    const auto last = mirrors.Kill(&primary());
    // Some of what it sent last arrives.
    std::size_t arrived = random() % (last.size() + 1);
    for (const auto& [kind, bytes] : last) {
      if (arrived-- == 0) break;
      Take(kind, bytes);
    }
    Relay(false);
    Elect();
    mirrors.Start(&mirrors.children_[dead]);
  }
  void KillStandby() {
    const std::size_t other = (leader + 1 + random() % 2) % 3;
    mirrors.Kill(&mirrors.children_[other]);
    mirrors.Start(&mirrors.children_[other]);
  }

  std::vector<NodeInput> inputs;
  std::vector<std::string> expected;  // forecasts, after each input
  std::uint64_t ticks_expected = 0;
  std::mt19937 random;
  ThreeMirrors mirrors;
  std::size_t leader = 0;
  std::uint64_t term = 0;
  std::vector<std::string> history;  // of deltas
  std::size_t next = 0;              // input
};

TEST(MirrorKill, AfterTwoHundredKillsTheForecastsAreStillTheSame) {
  MirrorOptions options;
  int kills = 0;
  for (std::uint32_t seed = 1; kills < kKills; ++seed) {
    SCOPED_TRACE(seed);
    options.model = seed % 2 == 0 ? SmallModel(seed) : "";
    options.predictor.rival_options.baseline_ns = 5'000'000'000;
    Campaign campaign(options, seed, 130);
    ASSERT_FALSE(HasFatalFailure());
    while (campaign.next < campaign.inputs.size()) {
      campaign.Give();
      ASSERT_FALSE(HasFatalFailure());
      if (campaign.random() % 3 == 0) campaign.Relay(false);
      if (campaign.random() % 12 == 0 && campaign.next < campaign.inputs.size()) {
        campaign.random() % 3 == 0 ? campaign.KillStandby() : campaign.KillPrimary();
        ++kills;
      }
      ASSERT_FALSE(HasFatalFailure());
    }
    campaign.Relay(true);
    for (const Child& child : campaign.mirrors.children_) {
      const std::string answer = campaign.mirrors.Ask(child, 'q');
      ASSERT_GT(answer.size(), 16u);
      EXPECT_EQ(Unpacked<std::uint64_t>(answer), campaign.history.size());
      EXPECT_EQ(Unpacked<std::uint64_t>(answer.substr(8)), campaign.ticks_expected)
          << "a tick was applied twice, or never";
      EXPECT_EQ(answer.substr(16), campaign.expected.back());
    }
    for (Child& child : campaign.mirrors.children_) {
      EXPECT_EQ(campaign.mirrors.End(&child), 0);
      campaign.mirrors.Start(&child);
    }
  }
}

}  // namespace
}  // namespace seer
