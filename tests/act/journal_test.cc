#include "act/journal.h"

#include <gtest/gtest.h>

#include "tests/act/support.h"

namespace seer {
namespace {

using internal::FormatBegin;
using internal::FormatEnd;
using internal::Journal;
using internal::JournalContents;
using internal::JournalEntry;
using internal::ParseJournal;
using testing::PoolTo;
using testing::TestFolder;

JournalEntry Entry(double to) {
  JournalEntry entry;
  entry.actuator = "memory";
  entry.recommendation = PoolTo(to);
  entry.changes = {{"a knob|with anything\n", "", "150"}, {"b", "-", "x y"}};
  return entry;
}

TEST(Journal, KeepsWhatWasBegunAndNotEnded) {
  const JournalEntry first = Entry(1), second = Entry(2);
  const JournalContents contents =
      ParseJournal(FormatBegin(first) + FormatBegin(second) + FormatEnd(first.recommendation.id));
  EXPECT_EQ(contents.damaged, 0u);
  ASSERT_EQ(contents.open.size(), 1u);
  EXPECT_EQ(contents.open[0].actuator, second.actuator);
  EXPECT_EQ(contents.open[0].recommendation, second.recommendation);
  EXPECT_EQ(contents.open[0].changes, second.changes);
}

TEST(Journal, CutOffAnywhereLosesOnlyTheLastLine) {
  const JournalEntry first = Entry(1), second = Entry(2);
  const std::string whole = FormatBegin(first), text = whole + FormatBegin(second);
  for (std::size_t bytes = 0; bytes < text.size(); ++bytes) {
    const JournalContents contents = ParseJournal(std::string_view(text).substr(0, bytes));
    ASSERT_EQ(contents.open.size(), bytes >= whole.size() ? 1u : 0u) << bytes;
    ASSERT_EQ(contents.damaged, 0u) << bytes;
  }
}

TEST(Journal, DamagedLineIsCountedAndTheOthersStand) {
  const JournalEntry first = Entry(1), second = Entry(2);
  const std::string text = FormatBegin(first) + FormatBegin(second);
  for (std::size_t at = 0; at + 1 < FormatBegin(first).size(); ++at) {
    std::string damaged = text;
    damaged[at] = damaged[at] == '7' ? '8' : '7';
    const JournalContents contents = ParseJournal(damaged);
    ASSERT_EQ(contents.damaged, 1u) << at;
    ASSERT_EQ(contents.open.size(), 1u) << at;
    ASSERT_EQ(contents.open[0].recommendation, second.recommendation);
  }
}

TEST(Journal, IsOneProcessesAtATime) {
  TestFolder folder;
  JournalContents contents;
  absl::StatusOr<Journal> journal = Journal::Open(folder.At("j"), &contents);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(Journal::Open(folder.At("j"), &contents).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(Journal, IsNoOtherFile) {
  TestFolder folder;
  folder.Write("passwd", "root:x:0:0\n");
  JournalContents contents;
  EXPECT_EQ(Journal::Open(folder.At("passwd"), &contents).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(folder.Read("passwd"), "root:x:0:0\n");
  std::filesystem::create_symlink("passwd", folder.At("link"));
  EXPECT_FALSE(Journal::Open(folder.At("link"), &contents).ok());
}

TEST(Journal, StaysSmallWhileActionsOverlap) {
  TestFolder folder;
  JournalContents contents;
  absl::StatusOr<Journal> journal = Journal::Open(folder.At("j"), &contents);
  ASSERT_TRUE(journal.ok()) << journal.status();
  JournalEntry kept = Entry(1);
  ASSERT_TRUE(journal->Begin(kept).ok());
  std::uintmax_t largest = 0;
  for (int i = 0; i < 1500; ++i) {
    const JournalEntry entry = Entry(2);
    ASSERT_TRUE(journal->Begin(entry).ok());
    const JournalEntry* const open[] = {&kept};
    journal->End(entry.recommendation.id, open);
    largest = std::max(largest, std::filesystem::file_size(folder.At("j")));
  }
  EXPECT_LT(largest, Journal::kCompactBytes + 4096);
  // What took the file's place is locked too, and holds what is open.
  EXPECT_FALSE(Journal::Open(folder.At("j"), &contents).ok());
  const JournalContents now = ParseJournal(folder.Read("j"));
  ASSERT_EQ(now.open.size(), 1u);
  EXPECT_EQ(now.open[0].recommendation, kept.recommendation);
  journal->End(kept.recommendation.id, {});
  EXPECT_EQ(folder.Read("j"), "");
}

}  // namespace
}  // namespace seer
