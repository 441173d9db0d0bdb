#include "seer/dataset/reader.h"

#include <algorithm>
#include <cstring>

#include "dataset/record.h"
#include "gmock/gmock.h"
#include "seer/core/internal/crc32c.h"
#include "seer/dataset/writer.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::RandomTick;
using testing::SomeTopology;
using testing::TempDir;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStride = 11;
#else
constexpr std::size_t kStride = 1;
#endif

// Two runs of some blocks each; ends of the records in the file.
std::vector<std::uint64_t> MakeDataset(const std::string& path, int ticks = 12, int services = 3) {
  std::mt19937 random(1);
  const Topology topology = SomeTopology(services);
  std::vector<std::uint64_t> ends;
  DatasetWriterOptions options;
  options.ticks_per_block = 4;
  auto writer = DatasetWriter::Create(path, options);
  EXPECT_TRUE(writer.ok());
  const auto note = [&] {
    if (ends.empty() || ends.back() != writer->bytes_written()) {
      ends.push_back(writer->bytes_written());
    }
  };
  note();
  for (int run = 0; run < 2; ++run) {
    EXPECT_TRUE(writer->BeginRun({}).ok());
    note();
    EXPECT_TRUE(writer->SetTopology(topology).ok());
    for (int i = 0; i < ticks; ++i) {
      EXPECT_TRUE(writer->Append(RandomTick(&random, topology, i)).ok());
      note();
    }
    DatasetEvent event;
    event.culprit = "service-1";
    EXPECT_TRUE(writer->AddEvent(event).ok());
    note();
    EXPECT_TRUE(writer->EndRun().ok());
    note();
  }
  return ends;
}

// Everything that can be asked; returns the ticks that were read.
std::uint64_t ReadAll(const DatasetReader& reader, int* errors = nullptr) {
  std::uint64_t ticks = 0;
  ClusterTick tick;
  for (std::uint32_t run = 0; run < reader.manifest().runs.size(); ++run) {
    reader.LatestTopology(run).status().IgnoreError();
    reader.TopologyAt(run, 0).status().IgnoreError();
    reader.Events(run).status().IgnoreError();
    TickCursor cursor = reader.Ticks(run);
    for (;;) {
      const auto more = cursor.Next(&tick);
      if (!more.ok()) {
        EXPECT_EQ(more.status().code(), absl::StatusCode::kDataLoss);
        if (errors != nullptr) ++*errors;
        continue;
      }
      if (!*more) break;
      ++ticks;
    }
  }
  return ticks;
}

TEST(DatasetReader, CursorsTakeWhatIsAskedFor) {
  const TempDir dir;
  MakeDataset(dir / "a");
  const auto reader = DatasetReader::Open(dir / "a");
  ASSERT_TRUE(reader.ok());
  for (const auto& [from, to] : std::vector<std::pair<Tick, Tick>>{
           {0, 12}, {3, 4}, {4, 8}, {5, 11}, {-9, 2}, {11, 99}, {12, 99}, {7, 7}}) {
    SCOPED_TRACE(from);
    TickCursor cursor = reader->Ticks(1, from, to);
    ClusterTick tick;
    Tick expected = std::max<Tick>(from, 0);
    while (*cursor.Next(&tick)) EXPECT_EQ(tick.tick, expected++);
    EXPECT_EQ(expected, std::max(std::max<Tick>(from, 0), std::min<Tick>(to, 12)));
  }
  TickCursor none = reader->Ticks(2);
  ClusterTick tick;
  EXPECT_FALSE(*none.Next(&tick));
}

TEST(DatasetReader, EveryTruncationKeepsWhatStandsBefore) {
  const TempDir dir;
  const std::vector<std::uint64_t> ends = MakeDataset(dir / "a", 8, 2);
  const std::string bytes = testing::ReadFile(dir / "a");
  ASSERT_EQ(bytes.size(), ends.back());
  for (std::size_t size = 0; size <= bytes.size(); size += kStride) {
    testing::WriteFile(dir / "b", bytes.substr(0, size));
    const auto reader = DatasetReader::Open(dir / "b");
    ASSERT_EQ(reader.ok(), size >= ends.front()) << size << reader.status();
    if (!reader.ok()) continue;
    std::uint64_t whole = 0;
    for (const DatasetReader::Block& block : reader->blocks()) {
      ASSERT_LE(block.offset + block.bytes, size);
      whole += block.ticks;
    }
    int errors = 0;
    ASSERT_EQ(ReadAll(*reader, &errors), whole);
    ASSERT_EQ(errors, 0);
    // What is told as damage is what stands behind the last end that is whole.
    const auto end = std::upper_bound(ends.begin(), ends.end(), size);
    std::uint64_t torn = 0;
    for (const DatasetReader::Damage& damage : reader->damage()) torn += damage.bytes;
    if (end != ends.begin() && *(end - 1) == size) {
      ASSERT_EQ(torn, 0u) << size;
    }
    // And the file can be gone on with.
    if (size % 37 == 0) {
      auto writer = DatasetWriter::Append(dir / "b");
      ASSERT_TRUE(writer.ok()) << writer.status();
      ASSERT_TRUE(writer->BeginRun({}).ok());
      ASSERT_TRUE(writer->EndRun().ok());
      const auto again = DatasetReader::Open(dir / "b");
      ASSERT_TRUE(again.ok());
      ASSERT_TRUE(again->damage().empty());
      ASSERT_EQ(again->manifest().runs.size(), reader->manifest().runs.size() + 1);
      ASSERT_EQ(ReadAll(*again), whole);
    }
  }
}

TEST(DatasetReader, AFlippedBitCostsOneRecordAtMost) {
  const TempDir dir;
  MakeDataset(dir / "a", 12, 2);
  const std::string bytes = testing::ReadFile(dir / "a");
  const auto sound = DatasetReader::Open(dir / "a");
  const std::uint64_t all = ReadAll(*sound);
  ASSERT_EQ(all, 24u);
  for (std::size_t at = 0; at < bytes.size(); at += kStride) {
    std::string damaged = bytes;
    damaged[at] ^= static_cast<char>(1 << at % 8);
    testing::WriteFile(dir / "b", damaged);
    const auto reader = DatasetReader::Open(dir / "b");
    if (!reader.ok()) {
      ASSERT_LT(at, 128u);  // the very first record
      continue;
    }
    int errors = 0;
    const std::uint64_t ticks = ReadAll(*reader, &errors);
    if (ticks == all) continue;
    ASSERT_TRUE(errors > 0 || !reader->damage().empty()) << at;
    // A block, or all blocks of a run whose beginning was damaged.
    ASSERT_GE(ticks, all / 2) << at;
  }
}

TEST(DatasetReader, ADamagedBlockIsNamedAndTheNextOneRead) {
  const TempDir dir;
  MakeDataset(dir / "a");
  std::string bytes = testing::ReadFile(dir / "a");
  const std::uint64_t at = DatasetReader::Open(dir / "a")->blocks()[1].offset;
  bytes[at + 100] ^= 1;
  testing::WriteFile(dir / "b", bytes);
  const auto reader = DatasetReader::Open(dir / "b");
  TickCursor cursor = reader->Ticks(0);
  ClusterTick tick;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(*cursor.Next(&tick));
  const auto error = cursor.Next(&tick);
  EXPECT_THAT(error.status().ToString(), HasSubstr("at byte " + std::to_string(at)));
  EXPECT_THAT(error.status().ToString(), HasSubstr("ticks 4 to 7"));
  ASSERT_TRUE(*cursor.Next(&tick));
  EXPECT_EQ(tick.tick, 8);
}

// Somebody who can compute checksums.
TEST(DatasetReader, HostileRecordsAreDamage) {
  const TempDir dir;
  using internal::RecordHeader;
  using internal::RecordKind;
  MakeDataset(dir / "a", 4, 1);
  const std::string sound = testing::ReadFile(dir / "a");
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = sound;
    for (int n = 0; n < 3; ++n) {
      RecordHeader header;
      header.kind = static_cast<RecordKind>(random() % 9);
      header.run = static_cast<std::uint32_t>(random() % 2 == 0 ? random() % 4 : random());
      header.ticks = random() % 2 == 0 ? 4 : static_cast<std::uint32_t>(random());
      // In unsigned, as any bits may stand there.
      const std::uint64_t first = random() % 2 == 0 ? random() : random() * 0xfffffffb00000007u;
      header.first = static_cast<std::int64_t>(first);
      header.last = static_cast<std::int64_t>(first + random() % 5 - 1);
      header.offset = bytes.size();
      std::string body(random() % 200, '\0');
      for (char& c : body) c = static_cast<char>(random() % 3 == 0 ? random() : 0);
      bytes += internal::MakeRecord(header, body);
    }
    testing::WriteFile(dir / "b", bytes);
    const auto reader = DatasetReader::Open(dir / "b");
    ASSERT_TRUE(reader.ok());
    ASSERT_LT(reader->manifest().runs.size(), 10'000u);
    ASSERT_GE(ReadAll(*reader), 8u);
  }
}

// Each header says that it is the last one, and that its body is all the rest of the file. Whether
// that is sound must not be asked of each of them: this would take minutes.
TEST(DatasetReader, HeadersWithinTheBodyOfATornRecordCostLittle) {
  const TempDir dir;
  MakeDataset(dir / "a", 4, 1);
  std::string bytes = testing::ReadFile(dir / "a");
  const std::size_t sound = bytes.size();
  const std::size_t size = sound + (std::size_t{8} << 20);
  while (bytes.size() < size) {
    internal::RecordHeader header;
    header.kind = internal::RecordKind::kEvent;
    header.offset = bytes.size();
    std::string record = internal::MakeRecord(header, {});
    const auto body =
        static_cast<std::uint32_t>(size - bytes.size() - internal::kRecordHeaderBytes);
    std::memcpy(&record[32], &body, sizeof(body));
    record[36] ^= 1;  // the body's checksum
    const std::uint32_t crc = internal::Crc32c(std::string_view(record).substr(0, 60));
    std::memcpy(&record[60], &crc, sizeof(crc));
    bytes += record;
  }
  testing::WriteFile(dir / "b", bytes);
  const auto reader = DatasetReader::Open(dir / "b");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(ReadAll(*reader), 8u);
  ASSERT_EQ(reader->damage().size(), 1u);
  EXPECT_EQ(reader->damage()[0].offset, sound);
  EXPECT_EQ(reader->damage()[0].bytes, size - sound);
}

TEST(DatasetReader, SaysWhatIsNoDataset) {
  const TempDir dir;
  EXPECT_EQ(DatasetReader::Open(dir / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(DatasetReader::Open("/").status().code(), absl::StatusCode::kInvalidArgument);
  testing::WriteFile(dir / "text", "hello");
  EXPECT_THAT(DatasetReader::Open(dir / "text").status().ToString(), HasSubstr("seer import"));
  internal::RecordHeader header;
  internal::FieldWriter body;
  body.Number(2);
  body.Number(0);
  testing::WriteFile(dir / "new", internal::MakeRecord(header, body.bytes()));
  EXPECT_EQ(DatasetReader::Open(dir / "new").status().code(), absl::StatusCode::kUnimplemented);
}

TEST(DatasetReader, ReadsWhileSomebodyWrites) {
  const TempDir dir;
  std::mt19937 random(1);
  const Topology topology = SomeTopology(2);
  auto writer = DatasetWriter::Create(dir / "a");
  ASSERT_TRUE(writer->BeginRun({}).ok());
  ASSERT_TRUE(writer->SetTopology(topology).ok());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(writer->Append(RandomTick(&random, topology, i)).ok());
    ASSERT_TRUE(writer->Flush().ok());
    const auto reader = DatasetReader::Open(dir / "a");
    EXPECT_EQ(ReadAll(*reader), static_cast<std::uint64_t>(i) + 1);
    EXPECT_FALSE(reader->manifest().runs[0].complete);
  }
}

// The bytes of the format do not change unnoticed: README.md describes them.
TEST(DatasetReader, ReadsTheGoldenFile) {
  const std::string golden = std::string(SEER_TESTDATA) + "/dataset/golden-1.0.seerdata";
  const auto reader = DatasetReader::Open(golden);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const TempDir dir;
  MakeDataset(dir / "a");
  const auto now = DatasetReader::Open(dir / "a");
  ClusterTick was, is;
  for (std::uint32_t run = 0; run < 2; ++run) {
    EXPECT_EQ(*reader->LatestTopology(run), *now->LatestTopology(run));
    EXPECT_EQ(*reader->Events(run), *now->Events(run));
    TickCursor old_ticks = reader->Ticks(run), new_ticks = now->Ticks(run);
    while (*new_ticks.Next(&is)) {
      ASSERT_TRUE(*old_ticks.Next(&was));
      ASSERT_EQ(was, is);
    }
    EXPECT_FALSE(*old_ticks.Next(&was));
  }
}

}  // namespace
}  // namespace seer
