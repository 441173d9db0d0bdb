// The services of examples/other_languages, and the page that describes what they write
// (include/seer/queue/README.md), against the Reader.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "seer/queue/reader.h"
#include "seer/queue/segment_layout.h"
#include "tests/examples/process.h"

namespace seer::testing {
namespace {

using ::testing::HasSubstr;
using Life = ProcessInfo::Life;

std::unique_ptr<Reader> ReaderOf(const std::string& directory) {
  ReaderOptions options;
  options.directory = directory;
  auto reader = Reader::Open(options);
  EXPECT_TRUE(reader.ok()) << reader.status();
  return reader.ok() ? *std::move(reader) : nullptr;
}

// ---- The services.

struct Language {
  const char* name;
  std::vector<std::string> command;
};

std::vector<Language> Languages() {
  std::vector<Language> languages;
#ifdef SEER_C_SERVICE
  languages.push_back({"C", {SEER_C_SERVICE}});
#endif
  languages.push_back(
      {"Python", {"python3", SEER_SOURCE_DIR "/examples/other_languages/service.py"}});
  return languages;
}

bool PythonIsThere() { return Program({"python3", "--version"}).Wait() == 0; }
constexpr char kNoPython[] = "there is no python3; sudo apt install python3";

class ServiceInOtherLanguage : public ::testing::TestWithParam<Language> {
 protected:
  void SetUp() override {
    if (GetParam().command[0] == "python3" && !PythonIsThere()) GTEST_SKIP() << kNoPython;
  }
  std::vector<std::string> Service(const char* seconds) const {
    std::vector<std::string> command = GetParam().command;
    command.push_back(directory_.path());
    command.push_back(seconds);
    return command;
  }

  ScratchDirectory directory_;
};

// Both queues of the one service that is there.
struct Both {
  QueueReading queued, running;
  Life life = Life::kRuns;
};
bool ReadBoth(Reader& reader, Both* both) {
  const NodeReading& now = reader.Read();
  EXPECT_EQ(now.skipped, 0u) << reader.skipped()[0].why;
  if (now.queues.size() < 2) return false;  // it adds them one after the other
  EXPECT_EQ(now.queues.size(), 2u);
  EXPECT_EQ(now.counter_errors, 0u);
  for (std::size_t i = 0; i < now.queues.size(); ++i) {
    const QueueInfo& info = reader.queues()[i];
    EXPECT_EQ(info.service, "thumbnails");
    EXPECT_EQ(info.name, "");
    EXPECT_FALSE(info.timed);
    EXPECT_TRUE(info.channel == Channel::kQueued || info.channel == Channel::kRunning);
    (info.channel == Channel::kQueued ? both->queued : both->running) = now.queues[i];
  }
  both->life = reader.processes()[0].life;
  return true;
}

TEST_P(ServiceInOtherLanguage, WhatIsPublishedIsReadAndEndsInGoodOrder) {
  const std::unique_ptr<Reader> reader = ReaderOf(directory_.path());
  Both now;
  EXPECT_FALSE(ReadBoth(*reader, &now));
  Program service(Service("0.3"));

  // More come than leave, the worker has one job at a time, and each count is accounted for.
  std::uint64_t arrivals = 0, departures = 0;
  std::uint32_t deepest = 0, most_running = 0;
  const bool closed = Eventually([&] {
    if (!ReadBoth(*reader, &now)) return false;
    EXPECT_EQ(reader->processes()[0].instance, "thumbnails-0");
    EXPECT_EQ(reader->processes()[0].pid, static_cast<std::uint64_t>(service.pid()));
    // It came after the reader: nothing of what it counted is missed.
    EXPECT_TRUE(now.queued.counted);
    arrivals += now.queued.arrivals;
    departures += now.queued.departures;
    EXPECT_EQ(now.queued.enqueued, arrivals);
    EXPECT_EQ(now.queued.dequeued, departures);
    if (now.life == Life::kRuns && now.queued.width == 0) {
      EXPECT_EQ(now.queued.depth, arrivals - departures);
    }
    deepest = std::max(deepest, now.queued.depth);
    most_running = std::max(most_running, now.running.depth + now.running.width);
    return now.life != Life::kRuns;
  });
  ASSERT_TRUE(closed);
  EXPECT_EQ(now.life, Life::kClosed);
  EXPECT_EQ(service.Wait(), 0);
  EXPECT_EQ(service.printed(), std::to_string(arrivals) + " jobs\n");
  EXPECT_GT(arrivals, 0u);
  EXPECT_EQ(departures, arrivals);
  EXPECT_EQ(now.running.enqueued, arrivals);
  EXPECT_EQ(now.running.dequeued, arrivals);
  EXPECT_GE(deepest, 2u);
  EXPECT_EQ(most_running, 1u);
  EXPECT_FALSE(ReadBoth(*reader, &now)) << "it is read once after its end";
  EXPECT_EQ(directory_.files(), 0u);
}

TEST_P(ServiceInOtherLanguage, ATerminatedOneEndsInGoodOrder) {
  const std::unique_ptr<Reader> reader = ReaderOf(directory_.path());
  Program service(Service("60"));
  Both now;
  ASSERT_TRUE(Eventually([&] { return ReadBoth(*reader, &now) && now.queued.dequeued > 0; }));
  service.Signal(SIGTERM);
  EXPECT_EQ(service.Wait(), 0);
  ASSERT_TRUE(ReadBoth(*reader, &now));
  EXPECT_EQ(now.life, Life::kClosed);
  EXPECT_EQ(directory_.files(), 0u);
}

TEST_P(ServiceInOtherLanguage, AKilledOneIsFoundDeadAndItsFileSweptUp) {
  const std::unique_ptr<Reader> reader = ReaderOf(directory_.path());
  Both now;
  {
    Program service(Service("60"));
    ASSERT_TRUE(Eventually([&] { return ReadBoth(*reader, &now) && now.queued.depth > 0; }));
    EXPECT_EQ(now.life, Life::kRuns);
    service.Signal(SIGKILL);
    EXPECT_EQ(service.Wait(), -SIGKILL);
  }
  const std::uint64_t counted = now.queued.enqueued;
  ASSERT_TRUE(ReadBoth(*reader, &now));
  EXPECT_EQ(now.life, Life::kDied);
  EXPECT_GE(now.queued.enqueued, counted);
  EXPECT_EQ(now.queued.depth, 0u) << "its requests died with it";
  EXPECT_FALSE(ReadBoth(*reader, &now));
  EXPECT_EQ(directory_.files(), 1u);

  // By a lock that is free, which is all that a reader in another container has to go by.
  ReaderOptions options;
  options.directory = directory_.path();
  options.remove_dead = true;
  const auto sweeper = Reader::Open(options);
  ASSERT_TRUE(sweeper.ok());
  ASSERT_TRUE(ReadBoth(**sweeper, &now));
  EXPECT_EQ(now.life, Life::kDied);
  EXPECT_FALSE(ReadBoth(**sweeper, &now));
  EXPECT_EQ(directory_.files(), 0u);
}

// What a child of fork() must not do, in the language where it happens by accident
// (multiprocessing).
TEST(ServiceInPython, APythonChildKeepsNeitherLockNorCounters) {
  if (!PythonIsThere()) GTEST_SKIP() << kNoPython;
  const ScratchDirectory directory;
  const char* const script = R"(
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from service import Segment
segment = Segment(sys.argv[1], "parent")
queued = segment.add_queue("forks", "queued")
segment.enter(queued)
ready, say = os.pipe()
child = os.fork()
if child == 0:
    segment.add_queue("forks", "running")
    segment.enter(queued)
    segment.close()
    os.close(1)
    os.write(say, b"x")
    signal.alarm(60)
    signal.pause()
os.read(ready, 1)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
)";
  Program parent({"python3", "-B", "-c", script, directory.path(),
                  SEER_SOURCE_DIR "/examples/other_languages"});
  EXPECT_EQ(parent.Wait(), -SIGKILL);
  const pid_t child = std::stoi("0" + parent.printed());
  ASSERT_GT(child, 0);
  EXPECT_EQ(::kill(child, 0), 0);
  ASSERT_EQ(directory.files(), 1u) << "the child removed its parent's file";
  const auto files = std::filesystem::directory_iterator(directory.path());
  const int fd = ::open(files->path().c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(::flock(fd, LOCK_EX | LOCK_NB), 0) << "the child still holds its parent's lock";
  ::close(fd);
  const std::unique_ptr<Reader> reader = ReaderOf(directory.path());
  const NodeReading& now = reader->Read();
  EXPECT_EQ(reader->processes()[0].life, Life::kDied) << "not closed by the child";
  ASSERT_EQ(now.queues.size(), 1u);
  EXPECT_EQ(now.queues[0].enqueued, 1u);
  ::kill(child, SIGKILL);
}

INSTANTIATE_TEST_SUITE_P(All, ServiceInOtherLanguage, ::testing::ValuesIn(Languages()),
                         [](const auto& language) { return language.param.name; });

// ---- The page.

std::string Page() {
  std::ifstream file(SEER_SOURCE_DIR "/include/seer/queue/README.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The lines "240  01 00 ff  what it is" of the page's example; all other bytes are zeros.
std::string SmallestSegment() {
  std::string bytes(768, '\0');
  std::istringstream page(Page());
  int found = 0;
  for (std::string line; std::getline(page, line);) {
    const std::size_t digits = line.find_first_not_of("0123456789abcdef");
    if (digits != 3 || line.compare(3, 2, "  ") != 0) continue;
    std::size_t at = std::stoul(line.substr(0, 3), nullptr, 16);
    for (std::size_t i = 5; i + 1 < line.size() && line[i] != ' '; i += 3) {
      EXPECT_LT(at, bytes.size()) << line;
      if (at >= bytes.size()) break;
      bytes[at++] = static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    }
    ++found;
  }
  EXPECT_EQ(found, 14) << "lines of the example";
  return bytes;
}

TEST(QueueFormatPage, ItsExampleIsASegment) {
  const ScratchDirectory directory;
  const std::string path = directory.path() + "/queues.4711.0123456789abcdef";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::flock(fd, LOCK_EX | LOCK_NB), 0);
  const std::string bytes = SmallestSegment();
  ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));

  const std::unique_ptr<Reader> reader = ReaderOf(directory.path());
  const NodeReading& now = reader->Read();
  ASSERT_EQ(now.skipped, 0u) << reader->skipped()[0].why;
  ASSERT_EQ(now.queues.size(), 1u);
  EXPECT_EQ(reader->processes()[0].pid, 4711u);
  EXPECT_EQ(reader->processes()[0].instance, "cart-0");
  EXPECT_EQ(reader->processes()[0].life, Life::kRuns) << "its file is locked";
  EXPECT_EQ(reader->queues()[0].service, "cart");
  EXPECT_EQ(reader->queues()[0].channel, Channel::kQueued);
  EXPECT_EQ(now.queues[0].depth, 3u);
  EXPECT_EQ(now.queues[0].enqueued, 5u);
  EXPECT_EQ(now.queues[0].dequeued, 2u);

  ::close(fd);
  reader->Read();
  EXPECT_EQ(reader->processes()[0].life, Life::kDied) << "the lock is free";
}

TEST(QueueFormatPage, ItsTablesAreThoseOfTheHeader) {
  const std::string page = Page();
  std::vector<std::string> rows;
  const auto row = [&](std::size_t offset, std::size_t bytes, const char* field) {
    rows.push_back("\n| " + std::to_string(offset) + " | " + std::to_string(bytes) + " | `" +
                   field + "` |");
  };
#define SEER_ROW(type, base, field) row(base + offsetof(type, field), sizeof(type::field), #field)
  SEER_ROW(seer_segment_header, 0, magic);
  SEER_ROW(seer_segment_header, 0, major);
  SEER_ROW(seer_segment_header, 0, minor);
  SEER_ROW(seer_segment_header, 0, kind);
  SEER_ROW(seer_segment_header, 0, header_bytes);
  SEER_ROW(seer_segment_header, 0, state);
  SEER_ROW(seer_segment_header, 0, segment_bytes);
  SEER_ROW(seer_segment_header, 0, pid);
  SEER_ROW(seer_segment_header, 0, start_time);
  SEER_ROW(seer_segment_header, 0, pid_namespace);
  SEER_ROW(seer_segment_header, 0, boot_id);
  SEER_ROW(seer_segment_header, 0, created_unix_ns);
  SEER_ROW(seer_segment_header, 0, stamp_source);
  SEER_ROW(seer_segment_header, 0, instance_bytes);
  SEER_ROW(seer_segment_header, 0, instance);
  constexpr std::size_t kQueues = sizeof(seer_segment_header);
  SEER_ROW(seer_queues_header, kQueues, names_offset);
  SEER_ROW(seer_queues_header, kQueues, rows_offset);
  SEER_ROW(seer_queues_header, kQueues, shards_offset);
  SEER_ROW(seer_queues_header, kQueues, shard_stride);
  SEER_ROW(seer_queues_header, kQueues, names_capacity);
  SEER_ROW(seer_queues_header, kQueues, rows_capacity);
  SEER_ROW(seer_queues_header, kQueues, slots_capacity);
  SEER_ROW(seer_queues_header, kQueues, shards_capacity);
  SEER_ROW(seer_queues_header, kQueues, name_bytes);
  SEER_ROW(seer_queues_header, kQueues, row_bytes);
  SEER_ROW(seer_queues_header, kQueues, names_count);
  SEER_ROW(seer_queues_header, kQueues, rows_count);
  SEER_ROW(seer_queues_header, kQueues, retired_count);
  SEER_ROW(seer_queues_header, kQueues, shards_used);
  SEER_ROW(seer_name_row, 0, bytes);
  SEER_ROW(seer_name_row, 0, name);
  SEER_ROW(seer_queue_row, 0, state);
  SEER_ROW(seer_queue_row, 0, slot);
  SEER_ROW(seer_queue_row, 0, service);
  SEER_ROW(seer_queue_row, 0, callee);
  SEER_ROW(seer_queue_row, 0, channel);
  SEER_ROW(seer_queue_row, 0, flags);
  SEER_ROW(seer_queue_row, 0, bytes);
  SEER_ROW(seer_queue_row, 0, name);
  SEER_ROW(seer_slot, 0, enqueued);
  SEER_ROW(seer_slot, 0, dequeued);
  SEER_ROW(seer_timed_slots, 0, entered_sum);
  SEER_ROW(seer_timed_slots, 0, left_sum);
  SEER_ROW(seer_timed_slots, 0, left_entered_sum);
  SEER_ROW(seer_timed_slots, 0, sequence);
#undef SEER_ROW
  std::size_t at = 0;
  for (const std::string& expected : rows) {
    const std::size_t found = page.find(expected, at);
    EXPECT_NE(found, std::string::npos) << "missing, or in another order: " << expected;
    if (found != std::string::npos) at = found;
  }
  EXPECT_THAT(page, HasSubstr("version " + std::to_string(SEER_SEGMENT_MAJOR) + "." +
                              std::to_string(SEER_SEGMENT_MINOR)));
}

}  // namespace
}  // namespace seer::testing
