#include "seer/probe/internal/proc_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "probe/text.h"
#include "tests/probe/fake_root.h"
#include "tests/support/allocations.h"

namespace seer::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Lines {
  std::vector<std::string> lines;
  Reason reason;
};

Lines ReadAll(const ProcFile& file, std::size_t buffer_bytes) {
  std::vector<char> buffer(buffer_bytes);
  LineReader reader(file, absl::MakeSpan(buffer));
  Lines result;
  std::string_view line;
  while (reader.Next(&line)) result.lines.emplace_back(line);
  EXPECT_FALSE(reader.Next(&line));  // and so it stays
  result.reason = reader.reason();
  return result;
}

Lines LinesOf(std::string_view text, std::size_t buffer_bytes) {
  testing::FakeRoot root;
  root.Write("/f", text);
  return ReadAll(ProcFile(root.path() + "/f"), buffer_bytes);
}

TEST(ProcFile, LinesComeWholeWhateverTheBuffer) {
  for (std::size_t buffer : {5u, 6u, 7u, 64u}) {
    SCOPED_TRACE(buffer);
    const Lines read = LinesOf("abc\n\nd\nef\nlast", buffer);
    EXPECT_THAT(read.lines, ElementsAre("abc", "", "d", "ef", "last"));
    EXPECT_EQ(read.reason, Reason::kNone);
  }
}

TEST(ProcFile, EmptyFilesAndMissingNewlinesAreFine) {
  EXPECT_THAT(LinesOf("", 8).lines, IsEmpty());
  EXPECT_THAT(LinesOf("\n", 8).lines, ElementsAre(""));
  EXPECT_THAT(LinesOf("x", 8).lines, ElementsAre("x"));
  EXPECT_EQ(LinesOf("", 8).reason, Reason::kNone);
}

TEST(ProcFile, ALineLongerThanTheBufferIsMalformed) {
  const Lines read = LinesOf("ab\n0123456789\ncd\n", 8);
  EXPECT_THAT(read.lines, ElementsAre("ab"));
  EXPECT_EQ(read.reason, Reason::kMalformed);
}

TEST(ProcFile, AFileWithoutEndIsLeft) {
  const Lines read = LinesOf(std::string(3 * LineReader::kMaxLines, '\n'), 4096);
  EXPECT_EQ(read.lines.size(), LineReader::kMaxLines);
  EXPECT_EQ(read.reason, Reason::kMalformed);
  const Lines zeros = ReadAll(ProcFile("/dev/zero"), 4096);
  EXPECT_THAT(zeros.lines, IsEmpty());
  EXPECT_EQ(zeros.reason, Reason::kMalformed);
}

TEST(ProcFile, WhatIsNoFileHasAReasonAndNeverBlocks) {
  testing::FakeRoot root;
  root.Write("/file", "");
  EXPECT_EQ(::mkfifo((root.path() + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadAll(ProcFile(), 8).reason, Reason::kNotObserved);
  EXPECT_EQ(ReadAll(ProcFile(root.path() + "/nothing"), 8).reason, Reason::kNotFound);
  EXPECT_EQ(ReadAll(ProcFile(root.path() + "/file/below"), 8).reason, Reason::kNotFound);
  EXPECT_EQ(ReadAll(ProcFile(root.path()), 8).reason, Reason::kFailed);
  EXPECT_EQ(ReadAll(ProcFile(root.path() + "/pipe"), 8).reason, Reason::kFailed);
}

TEST(ProcFile, AKeptFileIsReadAnewWithoutTheHeap) {
  testing::FakeRoot root;
  root.Write("/f", "one\n");
  const ProcFile file(root.path() + "/f");
  EXPECT_THAT(ReadAll(file, 16).lines, ElementsAre("one"));
  root.Write("/f", "two\nthree\n");
  char buffer[16];
  std::size_t lines = 0;
  const testing::Allocations allocations;
  LineReader reader(file, absl::MakeSpan(buffer));
  for (std::string_view line; reader.Next(&line);) ++lines;
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_EQ(lines, 2u);
}

TEST(Text, OnlyWholeNumbersThatFitAreNumbers) {
  EXPECT_EQ(ParseNumber("0"), 0u);
  EXPECT_EQ(ParseNumber("18446744073709551615"), ~std::uint64_t{0});
  EXPECT_EQ(ParseNumber<std::uint32_t>("ffffffff", 16), 0xffffffffu);
  for (const char* bad : {"", "-1", "-0", "+1", " 1", "1 ", "nan", "inf", "1e3", "1.5", "0x10",
                          "18446744073709551616", "99999999999999999999999999"}) {
    SCOPED_TRACE(bad);
    EXPECT_EQ(ParseNumber(bad), std::nullopt);
  }
  EXPECT_EQ(ParseNumber<std::uint32_t>("4294967296"), std::nullopt);
  EXPECT_EQ(ParseNumber<std::int64_t>("-1"), std::nullopt);
}

TEST(Text, WordsLieBetweenBlanks) {
  std::string_view rest = "  a\tbc   d ";
  EXPECT_EQ(TakeWord(&rest), "a");
  EXPECT_EQ(TakeWord(&rest), "bc");
  EXPECT_EQ(TakeWord(&rest), "d");
  EXPECT_EQ(TakeWord(&rest), "");
  EXPECT_EQ(TakeWord(&rest), "");
}

}  // namespace
}  // namespace seer::internal
