#include "seer/queue/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using testing::Anonymous;
using ::testing::HasSubstr;
using testing::InChild;
using testing::InDirectory;
using testing::MakeReader;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;
using testing::ScratchDirectory;

TEST(QueueRegistry, NamesAreOfTheLengthThatTheTablesHold) {
  const auto registry = MakeRegistry(Anonymous());
  struct Case {
    std::string service, name;
    const char* wrong;  // the field; null: good
  };
  for (const Case& c : {
           Case{"", "q", "service"},
           Case{"a", "q", nullptr},
           Case{std::string(63, 's'), "q", nullptr},
           Case{std::string(64, 's'), "q", "service"},
           Case{"a", "", nullptr},
           Case{"a", std::string(48, 'n'), nullptr},
           Case{"a", std::string(49, 'n'), "name"},
           Case{std::string("a\0b", 3), "q", "service"},
           Case{"a", std::string("q\0", 2), "name"},
           Case{"a\nb", "q", "service"},
           Case{"a", "q\x1f", "name"},
           Case{"a", "q\x7f", "name"},
           Case{"\xd0\xba\xd0\xbe\xd1\x80\xd0\xb7\xd0\xb8\xd0\xbd\xd0\xb0", "\xf0\x9f\x9b\x92",
                nullptr},
       }) {
    SCOPED_TRACE(::testing::PrintToString(c.service) + " " + ::testing::PrintToString(c.name));
    for (const absl::Status& status :
         {registry->AddQueue(c.service, Channel::kQueued, c.name).status(),
          registry->AddTimedQueue(c.service, Channel::kRunning, c.name).status()}) {
      if (c.wrong == nullptr) {
        EXPECT_TRUE(status.ok()) << status;
      } else {
        EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr(c.wrong));
      }
    }
  }
  EXPECT_TRUE(registry->AddOutbound("a", std::string(63, 'c')).ok());
  for (const std::string& callee : {std::string(), std::string(64, 'c'), std::string("c\r")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(registry->AddOutbound("a", callee).status())) << callee;
    EXPECT_TRUE(absl::IsInvalidArgument(registry->AddOutbound(callee, "a").status())) << callee;
  }
}

TEST(QueueRegistry, EveryNameIsReadAsItWasGiven) {
  const auto registry = MakeRegistry(Anonymous());
  const std::string service = std::string(61, 's') + "\xc3\xa9";
  const std::string name(48, 'n');
  ASSERT_TRUE(registry->AddTimedQueue(service, Channel::kBlocked, name).ok());
  ASSERT_TRUE(registry->AddOutbound(service, "callee").ok());
  ASSERT_TRUE(registry->AddQueue("b", Channel::kSend).ok());
  const auto reader = ReaderOf(*registry);
  reader->Read();
  ASSERT_EQ(reader->queues().size(), 3u);
  const QueueInfo& timed = reader->queues()[0];
  EXPECT_EQ(timed.service, service);
  EXPECT_EQ(timed.name, name);
  EXPECT_EQ(timed.channel, Channel::kBlocked);
  EXPECT_EQ(timed.callee, "");
  EXPECT_TRUE(timed.timed);
  const QueueInfo& outbound = reader->queues()[1];
  EXPECT_EQ(outbound.service, service);
  EXPECT_EQ(outbound.channel, std::nullopt);
  EXPECT_EQ(outbound.callee, "callee");
  EXPECT_FALSE(outbound.timed);
  EXPECT_EQ(reader->queues()[2].name, "");
  EXPECT_EQ(reader->queues()[2].channel, Channel::kSend);
  ASSERT_EQ(reader->processes().size(), 1u);
  EXPECT_EQ(reader->processes()[0].instance, "test-1");
  EXPECT_EQ(reader->processes()[0].pid, static_cast<std::uint64_t>(::getpid()));
}

TEST(QueueRegistry, TheSameArgumentsGiveTheSameQueue) {
  const auto registry = MakeRegistry(Anonymous());
  const Queue first = *registry->AddQueue("cart", Channel::kQueued, "jobs");
  const Queue again = *registry->AddQueue("cart", Channel::kQueued, "jobs");
  first.Enter();
  again.Enter();
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "jobs").depth, 2u);
  // Another channel, another service and an edge are other queues.
  registry->AddQueue("cart", Channel::kRunning, "jobs")->Enter();
  registry->AddQueue("user", Channel::kQueued, "jobs")->Enter();
  registry->AddOutbound("cart", "user")->Enter();
  registry->AddOutbound("user", "cart")->Enter();
  const NodeReading& now = reader->Read();
  ASSERT_EQ(now.queues.size(), 5u);
  EXPECT_EQ(now.queues[0].depth, 2u);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(now.queues[i].depth, 1u);
}

TEST(QueueRegistry, AQueueIsTimedOrItIsNot) {
  const auto registry = MakeRegistry(Anonymous());
  ASSERT_TRUE(registry->AddQueue("a", Channel::kQueued, "plain").ok());
  const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kQueued, "timed");
  EXPECT_TRUE(
      absl::IsAlreadyExists(registry->AddTimedQueue("a", Channel::kQueued, "plain").status()));
  EXPECT_TRUE(absl::IsAlreadyExists(registry->AddQueue("a", Channel::kQueued, "timed").status()));
  ASSERT_TRUE(registry->Retire(timed).ok());
  EXPECT_TRUE(registry->AddQueue("a", Channel::kQueued, "timed").ok());
}

TEST(QueueRegistry, AFullTableNamesTheOption) {
  RegistryOptions options = Anonymous();
  options.max_queues = 4;
  options.max_services = 2;
  const auto registry = MakeRegistry(options);
  const Queue first = *registry->AddQueue("a", Channel::kQueued);
  ASSERT_TRUE(registry->AddOutbound("a", "b").ok());
  absl::Status status = registry->AddQueue("c", Channel::kQueued).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_services"));
  // Two slots are left: not enough for a timed queue, which takes three.
  status = registry->AddTimedQueue("a", Channel::kRunning).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_queues"));
  ASSERT_TRUE(registry->AddQueue("a", Channel::kRunning).ok());
  ASSERT_TRUE(registry->AddQueue("b", Channel::kRunning).ok());
  status = registry->AddQueue("b", Channel::kSend).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  // What was there before works as before.
  registry->AddQueue("a", Channel::kQueued)->Enter();
  first.Enter();
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(reader->Read().queues[0].depth, 2u);
}

TEST(QueueRegistry, ATimedQueueFitsIntoThreePlaces) {
  RegistryOptions options = Anonymous();
  options.max_queues = 3;
  const auto registry = MakeRegistry(options);
  const TimedQueue timed = *registry->AddTimedQueue("a", Channel::kQueued, "t");
  for (int i = 0; i < 3; ++i) timed.Leave(timed.Enter());
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "t").dequeued, 3u);
  EXPECT_EQ(ReadQueue(*reader, "t").depth, 0u);
}

TEST(QueueRegistry, OptionsOutOfRangeAreNamed) {
  struct Case {
    const char* field;
    void (*set)(RegistryOptions&);
  };
  for (const Case& c : {
           Case{"max_queues", [](RegistryOptions& o) { o.max_queues = 0; }},
           Case{"max_queues", [](RegistryOptions& o) { o.max_queues = 65537; }},
           Case{"max_services", [](RegistryOptions& o) { o.max_services = 0; }},
           Case{"max_services", [](RegistryOptions& o) { o.max_services = 65536; }},
           Case{"max_threads", [](RegistryOptions& o) { o.max_threads = 0; }},
           Case{"max_threads", [](RegistryOptions& o) { o.max_threads = 4097; }},
           Case{"max_queues",
                [](RegistryOptions& o) {
                  o.max_queues = 65536;
                  o.max_threads = 4096;
                }},
           Case{"instance", [](RegistryOptions& o) { o.instance = std::string(256, 'i'); }},
           Case{"instance", [](RegistryOptions& o) { o.instance = "a\nb"; }},
           Case{"instance", [](RegistryOptions& o) { o.instance = std::string("a\0b", 3); }},
       }) {
    SCOPED_TRACE(c.field);
    RegistryOptions options = Anonymous();
    c.set(options);
    const absl::Status status = QueueRegistry::Create(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
}

TEST(QueueRegistry, TheLargestAndTheSmallestOptionsWork) {
  struct Case {
    std::uint32_t queues, services, threads;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{65536, 65535, 255}, Case{4095, 65535, 4096}}) {
    SCOPED_TRACE(c.queues);
    RegistryOptions options = Anonymous();
    options.max_queues = c.queues;
    options.max_services = c.services;
    options.max_threads = c.threads;
    options.instance = std::string(255, 'i');
    const auto registry = MakeRegistry(options);
    ASSERT_NE(registry, nullptr);
    Queue last;
    for (std::uint32_t i = 0; i < c.queues; ++i) {
      auto added = registry->AddQueue("s" + std::to_string(i % c.services), Channel::kQueued,
                                      "q" + std::to_string(i));
      ASSERT_TRUE(added.ok()) << added.status();
      last = *added;
    }
    last.Enter();
    const auto reader = ReaderOf(*registry);
    const NodeReading& now = reader->Read();
    ASSERT_EQ(now.queues.size(), c.queues);
    EXPECT_EQ(now.queues.back().depth, 1u);
    EXPECT_EQ(reader->processes()[0].instance, options.instance);
  }
}

TEST(QueueRegistry, ARetiredQueueIsGoneAndItsHandleCountsInNoOther) {
  const auto registry = MakeRegistry(Anonymous());
  const auto other = MakeRegistry(Anonymous());
  const Queue old = *registry->AddQueue("a", Channel::kQueued, "q");
  old.Enter();
  const auto reader = ReaderOf(*registry);
  EXPECT_EQ(ReadQueue(*reader, "q").depth, 1u);
  EXPECT_TRUE(absl::IsNotFound(other->Retire(old)));
  EXPECT_TRUE(absl::IsNotFound(registry->Retire(Queue())));
  EXPECT_TRUE(registry->Retire(old).ok());
  EXPECT_TRUE(absl::IsNotFound(registry->Retire(old)));
  EXPECT_EQ(reader->Read().queues.size(), 0u);

  const Queue fresh = *registry->AddQueue("a", Channel::kQueued, "q");
  old.Enter();
  old.Leave();
  old.Leave();
  EXPECT_EQ(ReadQueue(*reader, "q").enqueued, 0u);
  fresh.Enter();
  old.Enter();
  const QueueReading now = ReadQueue(*reader, "q");
  EXPECT_EQ(now.enqueued, 1u);
  EXPECT_EQ(now.depth, 1u);
  EXPECT_TRUE(absl::IsNotFound(registry->Retire(old)));
  EXPECT_TRUE(registry->Retire(fresh).ok());
}

TEST(QueueRegistry, EachNameThatIsAddedAnewTakesARow) {
  RegistryOptions options = Anonymous();
  options.max_queues = 6;
  const auto registry = MakeRegistry(options);
  const auto reader = ReaderOf(*registry);
  for (std::uint32_t i = 0; i < 6; ++i) {
    const auto queue = registry->AddQueue("a", Channel::kQueued, "q");
    ASSERT_TRUE(queue.ok()) << i << queue.status();
    queue->Enter();
    EXPECT_EQ(ReadQueue(*reader, "q").depth, 1u);
    ASSERT_TRUE(registry->Retire(*queue).ok());
  }
  const absl::Status full = registry->AddQueue("a", Channel::kQueued, "q").status();
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_EQ(reader->Read().queues.size(), 0u);
}

TEST(QueueRegistry, HandlesOutliveTheirRegistryAndCountNowhere) {
  auto gone = MakeRegistry(Anonymous());
  const Queue old = *gone->AddQueue("a", Channel::kQueued, "q");
  const TimedQueue old_timed = *gone->AddTimedQueue("a", Channel::kRunning, "t");
  old.Enter();
  BasicTicket ticket(old_timed);
  gone.reset();
  old.Enter();  // this thread still has its shard
  std::vector<std::unique_ptr<QueueRegistry>> later;
  for (int i = 0; i < 3; ++i) {  // one of them takes the old one's place
    later.push_back(MakeRegistry(Anonymous()));
    const Queue fresh = *later.back()->AddQueue("a", Channel::kQueued, "q");
    ASSERT_TRUE(later.back()->AddTimedQueue("a", Channel::kRunning, "t").ok());
    fresh.Enter();
    old.Enter();
    std::thread([&] { old.Leave(); }).join();
    old_timed.Leave(old_timed.Enter());
    fresh.Enter();
  }
  ticket.Leave();
  for (const auto& registry : later) {
    const auto reader = ReaderOf(*registry);
    EXPECT_EQ(ReadQueue(*reader, "q").enqueued, 2u);
    EXPECT_EQ(ReadQueue(*reader, "q").dequeued, 0u);
    EXPECT_EQ(ReadQueue(*reader, "t").enqueued, 0u);
    EXPECT_EQ(ReadQueue(*reader, "t").dequeued, 0u);
  }
}

TEST(QueueRegistry, RegistriesOfOneProcessAreStrangers) {
  const auto one = MakeRegistry(Anonymous());
  const auto two = MakeRegistry(Anonymous());
  const Queue in_one = *one->AddQueue("a", Channel::kQueued, "q");
  const Queue in_two = *two->AddQueue("a", Channel::kQueued, "q");
  for (int i = 0; i < 5; ++i) in_one.Enter();
  for (int i = 0; i < 3; ++i) in_two.Enter();
  EXPECT_TRUE(absl::IsNotFound(one->Retire(in_two)));
  EXPECT_EQ(ReadQueue(*ReaderOf(*one), "q").depth, 5u);
  EXPECT_EQ(ReadQueue(*ReaderOf(*two), "q").depth, 3u);
}

// A process has room for so many registries at a time, and in its life; each old handle stays dead.
TEST(QueueRegistry, TooManyRegistriesAreRefusedAndHarmNoOther) {
  EXPECT_EQ(InChild([] {
              std::vector<std::unique_ptr<QueueRegistry>> open;
              std::vector<Queue> queues;
              absl::Status refused;
              while (open.size() < 10'000) {
                auto made = QueueRegistry::Create(Anonymous());
                refused = made.status();
                if (!made.ok()) break;
                queues.push_back(*(*made)->AddQueue("a", Channel::kQueued, "q"));
                open.push_back(*std::move(made));
              }
              SEER_CHECK(absl::IsResourceExhausted(refused));
              SEER_CHECK(open.size() >= 8 && open.size() < 1000);
              for (std::size_t i = 0; i < queues.size(); ++i) {
                for (std::size_t k = 0; k <= i; ++k) queues[i].Enter();
              }
              for (std::size_t i = 0; i < queues.size(); ++i) {
                SEER_CHECK(ReadQueue(*ReaderOf(*open[i]), "q").depth == i + 1);
              }
              open.erase(open.begin(), open.end() - 1);
              // Again and again in the places of those, whose handles must not come to life.

              std::vector<Queue> olds(queues.begin(), queues.end() - 1);
              for (int i = 0; i < 3000; ++i) {
                auto made = QueueRegistry::Create(Anonymous());
                if (!made.ok()) {
                  SEER_CHECK(absl::IsResourceExhausted(made.status()));
                  SEER_CHECK(i > 0);
                  return std::string();
                }
                const Queue fresh = *(*made)->AddQueue("a", Channel::kQueued, "q");
                for (const Queue old : olds) old.Enter();
                fresh.Enter();
                SEER_CHECK(ReadQueue(*ReaderOf(**made), "q").enqueued == 1);
                if (olds.size() < 100) olds.push_back(fresh);
              }
              return std::string();
            }),
            "");
}

// A directory that cannot be used: the service works all the same, and status() says why.
TEST(QueueRegistry, WithoutADirectoryTheMemoryIsAnonymous) {
  ScratchDirectory scratch;
  scratch.Write("file", "not a directory");
  struct Case {
    const char* why;
    std::string directory;
  };
  for (const Case& c : {
           Case{"no parent", scratch / "not/there"},
           Case{"a file", scratch / "file"},
           Case{"below a file", scratch / "file/x"},
           Case{"a name that is too long", scratch / std::string(300, 'd')},
           Case{"a path that is too long",
                scratch / std::string(5000, '/') + std::string(5000, 'd')},
           Case{"a place where nobody can make files", "/proc/self"},
           Case{"a place where nobody can make directories", "/proc/seer-no-such"},
       }) {
    SCOPED_TRACE(c.why);
    const auto registry = MakeRegistry(InDirectory(c.directory));
    ASSERT_NE(registry, nullptr);
    EXPECT_FALSE(registry->status().ok());
    EXPECT_THAT(std::string(registry->status().message()), HasSubstr("directory"));
    EXPECT_EQ(registry->path(), "");
    const Queue queue = *registry->AddQueue("a", Channel::kQueued, "q");
    queue.Enter();
    EXPECT_EQ(ReadQueue(*ReaderOf(*registry), "q").depth, 1u);
  }
  EXPECT_TRUE(MakeRegistry(Anonymous())->status().ok());  // as asked
}

TEST(QueueRegistry, ADirectoryThatMayNotBeWrittenIsNoDirectory) {
  ScratchDirectory scratch;
  const std::string directory = scratch / "read-only";
  ASSERT_EQ(::mkdir(directory.c_str(), 0555), 0);
  EXPECT_EQ(InChild([&] {
              if (::geteuid() == 0 && ::setuid(65534) != 0) return std::string("setuid");
              const auto registry = MakeRegistry(InDirectory(directory));
              SEER_CHECK(registry != nullptr);
              SEER_CHECK(absl::IsPermissionDenied(registry->status()));
              registry->AddQueue("a", Channel::kQueued, "q")->Enter();
              SEER_CHECK(ReadQueue(*ReaderOf(*registry), "q").depth == 1);
              return std::string();
            }),
            "");
}

TEST(QueueRegistry, TheDirectoryIsMadeForEverybodyWhateverTheUmask) {
  ScratchDirectory scratch;
  const std::string directory = scratch / "seer";
  const mode_t before = ::umask(077);
  const auto registry = MakeRegistry(InDirectory(directory));
  ::umask(before);
  ASSERT_TRUE(registry->status().ok()) << registry->status();
  struct stat info;
  ASSERT_EQ(::stat(directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777u);
  // The mode of one that is there is its owner's business.
  ASSERT_EQ(::chmod(directory.c_str(), 0750), 0);
  ASSERT_TRUE(MakeRegistry(InDirectory(directory))->status().ok());
  ASSERT_EQ(::stat(directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750u);
}

TEST(QueueRegistry, TheFileIsThereAsLongAsTheRegistry) {
  ScratchDirectory scratch;
  auto registry = MakeRegistry(InDirectory(scratch.path()));
  ASSERT_TRUE(registry->status().ok()) << registry->status();
  EXPECT_THAT(scratch.Files(), ::testing::ElementsAre(registry->path()));
  EXPECT_THAT(registry->path(), HasSubstr("/queues." + std::to_string(::getpid()) + "."));
  registry.reset();
  EXPECT_THAT(scratch.Files(), ::testing::IsEmpty());
}

TEST(QueueRegistry, OneReaderSeesTwoRegistriesOfOneDirectory) {
  ScratchDirectory scratch;
  const auto one = MakeRegistry(InDirectory(scratch.path()));
  const auto two = MakeRegistry(InDirectory(scratch.path()));
  one->AddQueue("a", Channel::kQueued, "one")->Enter();
  two->AddQueue("a", Channel::kQueued, "two")->Enter();
  const auto reader = MakeReader(scratch.path());
  EXPECT_EQ(ReadQueue(*reader, "one").depth, 1u);
  EXPECT_EQ(ReadQueue(*reader, "two").depth, 1u);
  EXPECT_EQ(reader->processes().size(), 2u);
}

TEST(QueueRegistry, WithoutAnInstanceItIsTheHost) {
  RegistryOptions options = Anonymous();
  options.instance.clear();
  const auto registry = MakeRegistry(options);
  char host[256] = {};
  ASSERT_EQ(::gethostname(host, sizeof host - 1), 0);
  const auto reader = ReaderOf(*registry);
  reader->Read();
  EXPECT_EQ(reader->processes()[0].instance, host);
}

TEST(QueueRegistry, TheOptionsOfTheGlobalOneAreSetBeforeItsUse) {
  EXPECT_EQ(InChild([] {
              ScratchDirectory scratch;
              RegistryOptions options = InDirectory(scratch.path());
              options.max_queues = 1;
              SEER_CHECK(QueueRegistry::SetGlobalOptions(options).ok());
              QueueRegistry& global = QueueRegistry::Global();
              SEER_CHECK(&global == &QueueRegistry::Global());
              SEER_CHECK(absl::IsFailedPrecondition(QueueRegistry::SetGlobalOptions(options)));
              SEER_CHECK(global.status().ok());
              SEER_CHECK(scratch.Files() == std::vector<std::string>{global.path()});
              SEER_CHECK(global.AddQueue("a", Channel::kQueued).ok());
              SEER_CHECK(!global.AddQueue("a", Channel::kRunning).ok());
              std::filesystem::remove_all(scratch.path());
              return std::string();
            }),
            "");
}

TEST(QueueRegistry, WrongGlobalOptionsAreRefusedAtOnce) {
  EXPECT_EQ(InChild([] {
              RegistryOptions options = Anonymous();
              options.max_threads = 0;
              SEER_CHECK(absl::IsInvalidArgument(QueueRegistry::SetGlobalOptions(options)));
              SEER_CHECK(QueueRegistry::Global().AddQueue("a", Channel::kQueued).ok());
              return std::string();
            }),
            "");
}

TEST(QueueRegistry, AGlobalOneThatCannotBeMadeCountsNowhere) {
  EXPECT_EQ(InChild([] {
              std::vector<std::unique_ptr<QueueRegistry>> all_there_can_be;
              for (auto made = QueueRegistry::Create(Anonymous()); made.ok();
                   made = QueueRegistry::Create(Anonymous())) {
                all_there_can_be.push_back(*std::move(made));
              }
              QueueRegistry& global = QueueRegistry::Global();
              SEER_CHECK(!global.AddQueue("a", Channel::kQueued).ok());
              SEER_CHECK(!global.status().ok());
              all_there_can_be.resize(1);
              SEER_CHECK(global.path().empty() && global.segment().empty());
              SEER_CHECK(!MakeReader("")->Add(global).ok());
              SEER_CHECK(!global.Retire(Queue()).ok());
              // Also when others have come and gone meanwhile.
              for (int i = 0; i < 20; ++i) {
                const auto other = QueueRegistry::Create(Anonymous());
                if (other.ok()) (*other)->AddQueue("a", Channel::kQueued)->Enter();
                SEER_CHECK(!global.AddQueue("a", Channel::kQueued).ok());
                SEER_CHECK(!global.status().ok());
                SEER_CHECK(!global.Retire(Queue()).ok());
              }
              return std::string();
            }),
            "");
}

}  // namespace
}  // namespace seer
