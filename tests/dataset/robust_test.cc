// What surrounds a dataset fails: disks, other programs, inputs without end.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "dataset/record.h"
#include "gmock/gmock.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/writer.h"
#include "tests/dataset/random_ticks.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::RandomTick;
using testing::SomeTopology;
using testing::TempDir;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif

// No file may grow beyond `bytes` while it lives: writes are cut short, then fail.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) {
    before_signal_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, before_signal_);
  }

 private:
  rlimit before_ = {};
  void (*before_signal_)(int) = nullptr;
};

std::vector<ClusterTick> AllTicks(const std::string& path) {
  const auto reader = DatasetReader::Open(path);
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::vector<ClusterTick> ticks;
  if (!reader.ok()) return ticks;
  EXPECT_TRUE(reader->damage().empty());
  for (std::uint32_t run = 0; run < reader->manifest().runs.size(); ++run) {
    ClusterTick tick;
    for (TickCursor cursor = reader->Ticks(run);;) {
      const auto more = cursor.Next(&tick);
      EXPECT_TRUE(more.ok()) << more.status();
      if (!more.ok() || !*more) break;
      ticks.push_back(tick);
    }
  }
  return ticks;
}

TEST(DatasetWriter, AFullDiskLosesNothingThatWasWritten) {
  const TempDir dir;
  std::mt19937 random(1);
  const Topology topology = SomeTopology(4);
  std::vector<ClusterTick> ticks;
  for (int i = 0; i < 120; ++i) ticks.push_back(RandomTick(&random, topology, i));
  DatasetWriterOptions options;
  options.ticks_per_block = 4;
  const std::string path = dir / "a";
  for (std::uint64_t room = 200; room < 20'000; room += kSlow ? 5003 : 701) {
    SCOPED_TRACE(room);
    std::remove(path.c_str());
    auto writer = DatasetWriter::Create(path, options);
    ASSERT_TRUE(writer.ok());
    std::size_t taken = 0;
    absl::Status status;
    {
      const FileSizeLimit limit(room);
      status = writer->BeginRun({}).status();
      if (status.ok()) status = writer->SetTopology(topology);
      for (; status.ok() && taken < ticks.size(); ++taken) status = writer->Append(ticks[taken]);
      ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_THAT(status.ToString(), HasSubstr(path + ": cannot be written"));
      // It stays full: nothing more is taken, and what is there can be read.
      if (taken > 0) {
        for (int i = 0; i < 10; ++i) EXPECT_FALSE(writer->Append(ticks[taken]).ok());
      }
      std::vector<ClusterTick> found = AllTicks(path);
      ASSERT_LE(found.size(), taken);
      for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], ticks[i]);
    }
    // Somebody made room.
    if (taken == 0) {
      ASSERT_TRUE(writer->BeginRun({}).ok());
      ASSERT_TRUE(writer->SetTopology(topology).ok());
    }
    for (; taken < ticks.size(); ++taken) ASSERT_TRUE(writer->Append(ticks[taken]).ok());
    ASSERT_TRUE(writer->EndRun().ok());
    ASSERT_EQ(AllTicks(path), ticks);
  }
}

// A file system of its own that is really full; only root may make one.
TEST(DatasetWriter, AFullFileSystemIsSaid) {
  const TempDir dir;
  const std::string place = dir / "small";
  ASSERT_EQ(::mkdir(place.c_str(), 0700), 0);
  if (::mount("seer-test", place.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "no right to mount a file system";
  }
  std::mt19937 random(1);
  const Topology topology = SomeTopology(4);
  absl::Status status;
  std::size_t taken = 0;
  {
    DatasetWriterOptions options;
    options.ticks_per_block = 4;
    auto writer = DatasetWriter::Create(place + "/a", options);
    EXPECT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE(writer->BeginRun({}).ok());
    EXPECT_TRUE(writer->SetTopology(topology).ok());
    for (; status.ok() && taken < 5000; ++taken) {
      status = writer->Append(RandomTick(&random, topology, static_cast<Tick>(taken)));
    }
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const std::size_t found = AllTicks(place + "/a").size();
  EXPECT_GT(found, 0u);
  EXPECT_LE(found, taken);
  EXPECT_EQ(::umount(place.c_str()), 0);
}

std::string CsvOf(int calls) {
  std::string text = "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status\n";
  for (int i = 0; i < calls; ++i) {
    const std::string start = std::to_string(1'000'000'000LL + i * 500LL);
    text += std::to_string(i) + (i % 3 == 0 ? ",,front,GET," : ",front,cart,get,") + start +
            ",4000," + start + ",3000,ok\n";
  }
  return text;
}

std::string JaegerOf(int traces) {
  std::string text = "{\"data\":[";
  for (int i = 0; i < traces; ++i) {
    const std::string id = std::to_string(i + 1);
    const std::string start = std::to_string(1'000'000'000LL + i * 1000LL);
    text += std::string(i == 0 ? "" : ",") + "{\"traceID\":\"" + id +
            "\",\"spans\":[{\"traceID\":\"" + id + "\",\"spanID\":\"" + id +
            "\",\"operationName\":\"GET\",\"startTime\":" + start +
            ",\"duration\":900,\"tags\":[{\"key\":\"span.kind\",\"value\":\"server\"}],"
            "\"processID\":\"p1\"}],\"processes\":{\"p1\":{\"serviceName\":\"front\"}}}";
  }
  return text + "]}";
}

TEST(Import, ToAFullDiskLeavesNothing) {
  const TempDir dir;
  testing::WriteFile(dir / "in", CsvOf(20'000));
  const FileSizeLimit limit(400);
  const auto report = ImportToFile(ImportFormat::kRpcCsv, {dir / "in"}, dir / "out", {});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kResourceExhausted) << report.status();
  EXPECT_NE(::access((dir / "out").c_str(), F_OK), 0);
  EXPECT_NE(::access((dir / "out.partial").c_str(), F_OK), 0);
}

TEST(Import, TwoImportsCannotMakeOneFile) {
  const TempDir dir;
  testing::WriteFile(dir / "in", CsvOf(10));
  const auto import = [&] {
    return ImportToFile(ImportFormat::kRpcCsv, {dir / "in"}, dir / "out", {}).status();
  };
  {
    const auto other = DatasetWriter::Create(dir / "out.partial");
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(import().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(import().ToString(), HasSubstr("out is being made by another import"));
    EXPECT_EQ(::access((dir / "out.partial").c_str(), F_OK), 0);
  }
  EXPECT_TRUE(import().ok());  // that one died
  EXPECT_NE(::access((dir / "out.partial").c_str(), F_OK), 0);
}

TEST(Import, MemoryDoesNotDependOnTheSizeOfTheInput) {
  const TempDir dir;
  ImportOptions options;
  options.reorder_ns = 1'000'000'000;  // what is held for it is full from 1 s on
  const auto peak = [&](ImportFormat format, const std::string& text) {
    testing::WriteFile(dir / "in", text);
    std::remove((dir / "out").c_str());
    const testing::Allocations allocations;
    const auto report = ImportToFile(format, {dir / "in"}, dir / "out", options);
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->readings, 1);
    return static_cast<double>(allocations.peak_bytes());
  };
  const int base = kSlow ? 20'000 : 60'000;
  for (const auto& [format, make] :
       {std::pair<ImportFormat, std::string (*)(int)>(ImportFormat::kRpcCsv, CsvOf),
        std::pair<ImportFormat, std::string (*)(int)>(ImportFormat::kJaegerJson, JaegerOf)}) {
    SCOPED_TRACE(ImportFormatName(format));
    const double one = peak(format, make(base));
    const double many = peak(format, make(8 * base));
    EXPECT_LT(many, 1.1 * one + 1e6) << one << " for one eighth of it";
    EXPECT_LT(many, 40e6);
  }
}

TEST(Import, AnObjectOfMoreThan64MiBIsAnError) {
  const TempDir dir;
  {
    std::ofstream out(dir / "in", std::ios::binary);
    out << "{\"data\":[{\"spans\":[],\"processes\":{},\"x\":\"";
    const std::string piece(1 << 20, 'x');
    for (int i = 0; i < 65; ++i) out << piece;
    out << "\"}]}";
  }
  const testing::Allocations allocations;
  const auto report = ImportToFile(ImportFormat::kJaegerJson, {dir / "in"}, dir / "out", {});
  EXPECT_THAT(report.status().ToString(), HasSubstr("byte 9: an object of more than 67108864"));
  EXPECT_LT(allocations.peak_bytes(), std::size_t{220} << 20);
}

TEST(DatasetWriter, TwoProgramsCannotWriteAtOnce) {
  const TempDir dir;
  auto writer = DatasetWriter::Create(dir / "a");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->BeginRun({}).ok());
  const std::string before = testing::ReadFile(dir / "a");
  const pid_t child = ::fork();
  if (child == 0) {
    const auto second = DatasetWriter::Append(dir / "a");
    const bool said =
        second.status().code() == absl::StatusCode::kFailedPrecondition &&
        second.status().ToString().find("being written by another program") != std::string::npos;
    ::_exit(said ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(testing::ReadFile(dir / "a"), before);
}

TEST(DatasetReader, SaysThatAFileIsOfTheFuture) {
  const TempDir dir;
  internal::RecordHeader header;
  internal::FieldWriter body;
  body.Number(internal::kDatasetMajor + 1);
  body.Number(0);
  testing::WriteFile(dir / "a", internal::MakeRecord(header, body.bytes()));
  for (const absl::Status& status :
       {DatasetReader::Open(dir / "a").status(), DatasetWriter::Append(dir / "a").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(status.ToString(), HasSubstr("a has the format version 2"));
    EXPECT_THAT(status.ToString(), HasSubstr("update seer"));
  }
}

// A newer minor version may have more fields and kinds of records: they are passed over.
TEST(DatasetReader, ReadsANewerMinorVersion) {
  const TempDir dir;
  internal::FieldWriter body;
  body.Number(internal::kDatasetMajor);
  body.Number(internal::kDatasetMinor + 7);
  body.String("something new");
  std::string bytes = internal::MakeRecord({}, body.bytes());
  internal::RecordHeader header;
  header.kind = static_cast<internal::RecordKind>(99);
  header.offset = bytes.size();
  bytes += internal::MakeRecord(header, "what nobody knows yet");
  testing::WriteFile(dir / "a", bytes);
  std::mt19937 random(1);
  const Topology topology = SomeTopology(2);
  const ClusterTick tick = RandomTick(&random, topology, 1);
  {
    auto writer = DatasetWriter::Append(dir / "a");
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->BeginRun({}).ok());
    ASSERT_TRUE(writer->SetTopology(topology).ok());
    ASSERT_TRUE(writer->Append(tick).ok());
  }
  EXPECT_EQ(DatasetReader::Open(dir / "a")->manifest().format_minor, internal::kDatasetMinor + 7);
  EXPECT_EQ(AllTicks(dir / "a"), (std::vector<ClusterTick>{tick}));
}

// An import that fails takes its run back while somebody has the file open.
TEST(DatasetReader, WhatIsTakenBackMeanwhileIsDataLoss) {
  const TempDir dir;
  std::mt19937 random(1);
  const Topology topology = SomeTopology(40);  // more than a page
  DatasetWriterOptions options;
  options.ticks_per_block = 64;
  auto writer = DatasetWriter::Create(dir / "a", options);
  for (int run = 0; run < 2; ++run) {
    ASSERT_TRUE(writer->BeginRun({}).ok());
    for (int i = 0; i < 128; ++i) {
      ASSERT_TRUE(writer->Append(RandomTick(&random, topology, i), topology).ok());
    }
    ASSERT_TRUE(writer->AddEvent(DatasetEvent()).ok());
  }
  const auto reader = DatasetReader::Open(dir / "a");
  ASSERT_EQ(reader->blocks().size(), 4u);
  ASSERT_TRUE(writer->AbandonRun().ok());
  TickBlock block;
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(reader->ReadBlock(i, &block).ok(), i < 2);
  EXPECT_EQ(reader->ReadBlock(2, &block).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(reader->LatestTopology(0).ok());
  EXPECT_EQ(reader->LatestTopology(1).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(reader->Events(0).ok());
  EXPECT_EQ(reader->Events(1).status().code(), absl::StatusCode::kDataLoss);
}

// One program records, others look at what is there meanwhile.
TEST(DatasetReaderConcurrency, ALiveDatasetShowsWholeBlocksOnly) {
  const TempDir dir;
  const std::string path = dir / "a";
  const Topology topology = SomeTopology(3);
  std::mt19937 random(1);
  std::vector<ClusterTick> ticks;
  for (int i = 0; i < (kSlow ? 100 : 800); ++i) {
    ticks.push_back(RandomTick(&random, topology, i));
  }
  DatasetWriterOptions options;
  options.ticks_per_block = 4;
  auto writer = DatasetWriter::Create(path, options);
  ASSERT_TRUE(writer->BeginRun({}).ok());
  ASSERT_TRUE(writer->SetTopology(topology).ok());
  std::atomic<std::size_t> written{0};
  std::atomic<bool> done{false};
  std::thread recorder([&] {
    for (std::size_t i = 0; i < ticks.size() && writer->Append(ticks[i]).ok(); ++i) {
      written.store((i + 1) / 4 * 4, std::memory_order_release);
    }
    done.store(true, std::memory_order_release);
  });
  std::size_t seen = 0;
  const auto look = [&] {
    const std::size_t at_least = written.load(std::memory_order_acquire);
    const auto reader = DatasetReader::Open(path);
    ASSERT_TRUE(reader.ok()) << reader.status();
    std::size_t found = 0;
    ClusterTick tick;
    for (TickCursor cursor = reader->Ticks(0);; ++found) {
      const auto more = cursor.Next(&tick);
      ASSERT_TRUE(more.ok()) << more.status();
      if (!*more) break;
      ASSERT_EQ(tick, ticks[found]);
    }
    ASSERT_EQ(found % 4, 0u);
    ASSERT_GE(found, std::max(seen, at_least));
    seen = found;
  };
  for (bool last = false; !last && !HasFatalFailure();) {
    last = done.load(std::memory_order_acquire);
    look();
  }
  recorder.join();
  EXPECT_EQ(seen, ticks.size());
}

}  // namespace
}  // namespace seer
