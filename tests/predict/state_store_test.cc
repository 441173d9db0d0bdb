#include "seer/predict/state_store.h"

#include <gtest/gtest.h>

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/predict/small_nodes.h"

namespace seer {
namespace {

using testing::BitsOf;
using testing::NodeInput;
using testing::SmallModel;
using testing::SmallNodes;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kKills = 12;
#else
constexpr int kKills = 100;
#endif

class StateStoreTest : public ::testing::Test {
 protected:
  StateStoreTest() {
    options.predictor.clock = &clock;
    options.model = SmallModel(4);
    store_options.log_bytes = 6000;
    char name[] = "/tmp/seer-state-XXXXXX";
    folder = mkdtemp(name);
  }
  ~StateStoreTest() override {
    for (const std::string& file : Files()) unlink((folder + "/" + file).c_str());
    rmdir(folder.c_str());
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    DIR* const open = opendir(folder.c_str());
    while (const dirent* const entry = readdir(open)) {
      if (entry->d_name[0] != '.') files.emplace_back(entry->d_name);
    }
    closedir(open);
    return files;
  }
  std::unique_ptr<Mirror> New() const { return Mirror::Create(options).value(); }
  void Give(Mirror* mirror, const NodeInput& input) {
    clock.Set(input.time_ns);
    EXPECT_TRUE(mirror->ObserveWire(input.bytes).ok());
    mirror->Predict();
  }

  ManualClock clock;
  MirrorOptions options;
  StateStoreOptions store_options;
  std::string folder;
};

TEST_F(StateStoreTest, GoesOnWhereItEnded) {
  const std::vector<NodeInput> inputs = SmallNodes(1).Send(40);
  const auto whole = New();
  ASSERT_TRUE(whole->TakeOver(1).ok());
  std::unique_ptr<Mirror> mirror;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Give(whole.get(), inputs[i]);
    if (i % 50 == 0) {  // another process
      auto store = StateStore::Open(folder, store_options).value();
      mirror = New();
      const auto restored = store->Restore(mirror.get());
      ASSERT_EQ(restored.ok(), i > 0) << restored.status();
      ASSERT_TRUE(mirror->TakeOver(i + 1).ok());
      ASSERT_TRUE(store->Keep(*mirror).ok());
    }
    auto store = StateStore::Open(folder, store_options).value();
    const auto again = New();
    ASSERT_TRUE(store->Restore(again.get()).ok());
    Give(mirror.get(), inputs[i]);
    ASSERT_EQ(BitsOf(mirror->forecast()), BitsOf(whole->forecast())) << i;
    ASSERT_TRUE(store->Keep(*mirror).ok());
  }
  EXPECT_LE(Files().size(), 5u) << "two states, two logs, the lock";
}

TEST_F(StateStoreTest, ADamagedCheckpointIsPassedOver) {
  auto store = StateStore::Open(folder, store_options).value();
  const auto mirror = New();
  EXPECT_TRUE(absl::IsNotFound(store->Restore(mirror.get()).status()));
  ASSERT_TRUE(mirror->TakeOver(1).ok());
  std::uint64_t last = 0;
  for (const NodeInput& input : SmallNodes(2).Send(60, true)) {
    Give(mirror.get(), input);
    ASSERT_TRUE(store->Keep(*mirror).ok());
  }
  for (const std::string& file : Files()) {
    if (file.rfind("state.", 0) == 0)
      last = std::max<std::uint64_t>(last, std::stoull(file.substr(6)));
  }
  ASSERT_GT(last, 0u);
  {
    std::fstream file(folder + "/state." + std::to_string(last),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(300);
    file.put('x').put('y');
  }
  // And the process was writing when it ended.
  const auto again = New();
  const auto restored = store->Restore(again.get());
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->damaged, 1u);
  EXPECT_EQ(again->sequence(), mirror->sequence());
  EXPECT_EQ(BitsOf(again->forecast()), BitsOf(mirror->forecast()));
}

TEST_F(StateStoreTest, ATornLogEndsAtItsLastWholeDelta) {
  options.model.clear();
  auto store = StateStore::Open(folder, store_options).value();
  const auto mirror = New();
  ASSERT_TRUE(mirror->TakeOver(1).ok());
  ASSERT_TRUE(store->Keep(*mirror).ok());
  for (const NodeInput& input : SmallNodes(2).Send(3, true)) Give(mirror.get(), input);
  ASSERT_TRUE(store->Keep(*mirror).ok());
  const std::string log = folder + "/log.1";
  std::ifstream in(log, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_GT(bytes.size(), 500u);
  std::uint64_t before = 0;
  for (std::size_t size = 0; size <= bytes.size();
       size = size == bytes.size() ? size + 1 : std::min(size + 61, bytes.size())) {
    std::ofstream(log, std::ios::binary | std::ios::trunc) << bytes.substr(0, size);
    const auto again = New();
    const auto restored = store->Restore(again.get());
    ASSERT_TRUE(restored.ok()) << restored.status();
    ASSERT_GE(again->sequence(), before);
    ASSERT_LT(restored->cut_bytes, bytes.size());
    before = again->sequence();
  }
  EXPECT_EQ(before, mirror->sequence());
}

TEST_F(StateStoreTest, AFolderIsOneProcesss) {
  const auto store = StateStore::Open(folder, store_options).value();
  EXPECT_TRUE(absl::IsFailedPrecondition(StateStore::Open(folder, store_options).status()));
  EXPECT_FALSE(StateStore::Open("/no/such/parent", store_options).ok());
  store_options.log_bytes = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(StateStore::Open(folder, store_options).status()));
}

// A control plane that keeps its state, in a process of its own, until it is killed. It begins with
// the input that nobody was told of yet, which it may have taken before, and tells what it foresees
// after each, once that is kept; at last how many ticks there were.
[[noreturn]] void Live(const MirrorOptions& options, const StateStoreOptions& store_options,
                       ManualClock* clock, const std::string& folder, std::uint64_t life,
                       const std::vector<NodeInput>& inputs, std::size_t told, int out) noexcept {
  auto store = StateStore::Open(folder, store_options).value();
  auto mirror = Mirror::Create(options).value();
  const auto restored = store->Restore(mirror.get());
  if (!restored.ok() && !absl::IsNotFound(restored.status())) _exit(5);
  if (told > 0 && !restored.ok()) _exit(6);
  mirror->TakeOver(life).IgnoreError();
  const auto tell = [&](const std::string& line) {
    if (write(out, (line + "\n").data(), line.size() + 1) < 0) _exit(4);
  };
  for (std::size_t next = told; next < inputs.size(); ++next) {
    clock->Set(inputs[next].time_ns);
    mirror->ObserveWire(inputs[next].bytes).IgnoreError();
    if (!store->Keep(*mirror).ok()) _exit(3);
    mirror->Predict();
    if (!store->Keep(*mirror).ok()) _exit(3);
    tell(BitsOf(mirror->forecast()));
  }
  tell("ticks " + std::to_string(mirror->health().ticks));
  _exit(0);
}

// kill -9 at any point: what was kept is there again, nothing is applied twice, and the forecasts
// are those of a process that was never killed.
TEST_F(StateStoreTest, KilledAtAnyMomentItGoesOnWithTheSameForecasts) {
  store_options.log_bytes = 4096;
  const std::vector<NodeInput> inputs = SmallNodes(3).Send(2 * kKills + 40);
  std::vector<std::string> expected;
  const auto whole = New();
  ASSERT_TRUE(whole->TakeOver(1).ok());
  for (const NodeInput& input : inputs) {
    Give(whole.get(), input);
    expected.push_back(BitsOf(whole->forecast()));
  }
  expected.push_back("ticks " + std::to_string(whole->health().ticks));
  std::mt19937 random(5);
  std::size_t told = 0;
  int kills = 0;
  for (std::uint64_t life = 1; told < expected.size(); ++life) {
    ASSERT_LT(life, 20u * kKills);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      Live(options, store_options, &clock, folder, life, inputs, told, ends[1]);
    }
    close(ends[1]);
    // After some lines, at whatever it is doing.
    const std::size_t wanted = random() % (2 * inputs.size() / kKills + 1);
    for (auto i = random() % 200'000; wanted == 0 && i > 0; --i) (void)getppid();
    if (wanted == 0) kill(child, SIGKILL);
    std::FILE* const in = fdopen(ends[0], "r");
    std::size_t lines = 0;
    std::string line;
    for (int c = 0; (c = std::getc(in)) != EOF;) {
      if (c != '\n') {
        line += static_cast<char>(c);
        continue;
      }
      ASSERT_LT(told + lines, expected.size());
      ASSERT_EQ(line, expected[told + lines]) << "life " << life;
      line.clear();
      if (++lines == wanted) kill(child, SIGKILL);
    }
    std::fclose(in);
    told += lines;
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(!WIFEXITED(status) || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
    kills += WIFSIGNALED(status) ? 1 : 0;
  }
  EXPECT_GE(kills, kKills / 2);
}

}  // namespace
}  // namespace seer
