#include "dataset/csv_rows.h"

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "dataset/digits.h"
#include "gmock/gmock.h"
#include "tests/dataset/random_ticks.h"

namespace seer::internal {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;
using testing::WriteFile;

struct Line {
  std::string text;
  std::vector<std::string> fields;
  std::uint64_t number = 0;
};
bool operator==(const Line& a, const Line& b) {
  return a.text == b.text && a.fields == b.fields && a.number == b.number;
}
void PrintTo(const Line& line, std::ostream* out) {
  *out << line.number << ": " << line.text.substr(0, 60) << " (" << line.fields.size() << ")";
}

// The simple way, which knows nothing of blocks.
std::vector<Line> Simply(const std::string& path) {
  auto file = InputFile::Open(path);
  EXPECT_TRUE(file.ok());
  LineReader lines(&*file);
  std::vector<Line> found;
  std::vector<std::string_view> fields;
  std::string scratch;
  std::string_view line;
  while (*lines.Next(&line)) {
    if (!SplitCsv(line, &fields, &scratch)) fields.clear();
    found.push_back({std::string(line), {fields.begin(), fields.end()}, lines.line()});
  }
  return found;
}

std::vector<Line> Quickly(const std::string& path) {
  auto file = InputFile::Open(path);
  EXPECT_TRUE(file.ok());
  CsvRows rows(&*file);
  std::vector<Line> found;
  std::vector<std::string_view> fields;
  std::string scratch;
  while (rows.Next()) {
    Line line{std::string(rows.line()), {}, rows.number()};
    EXPECT_EQ(rows.quoted(), line.text.find('"') != std::string::npos);
    if (rows.quoted()) {
      if (!SplitCsv(rows.line(), &fields, &scratch)) fields.clear();
      line.fields.assign(fields.begin(), fields.end());
    } else {
      for (std::size_t i = 0; i < rows.fields(); ++i) line.fields.emplace_back(rows.field(i));
    }
    found.push_back(std::move(line));
  }
  EXPECT_TRUE(rows.status().ok()) << rows.status();
  EXPECT_FALSE(rows.Next());
  return found;
}

TEST(CsvRows, FindsWhatTheSimpleWayFinds) {
  const TempDir dir;
  for (const std::string text : {"", "\n", "a", "a\n", "a,b\r\n,\r\n\r\n", ",,,",
                                 "\"a,b\",c\n\"\n,\"\"\n", "a\n\n\nb", "\r", "x\r\ry,\r\n"}) {
    SCOPED_TRACE(text);
    WriteFile(dir / "a", text);
    EXPECT_EQ(Quickly(dir / "a"), Simply(dir / "a"));
  }
  // Lines of every length across the borders of blocks and of what is read at once.
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    std::string text;
    const std::size_t size = round % 4 == 0 ? 900'000 : random() % 3000;
    const std::size_t longest = 1 + random() % (round % 4 == 0 ? 200'000 : 100);
    while (text.size() < size) {
      const std::size_t end = text.size() + random() % longest;
      while (text.size() < end) text += "abc,,0123456789 \"\r"[random() % (round % 2 ? 15 : 18)];
      text += '\n';
    }
    if (round % 3 == 0) text.pop_back();
    WriteFile(dir / "a", text);
    EXPECT_EQ(Quickly(dir / "a"), Simply(dir / "a"));
  }
}

TEST(CsvRows, ALineThatNeverEndsIsAnError) {
  const TempDir dir;
  WriteFile(dir / "a", "a,b\n" + std::string(3 << 20, 'x'));
  auto file = InputFile::Open(dir / "a");
  CsvRows rows(&*file);
  EXPECT_TRUE(rows.Next());
  EXPECT_FALSE(rows.Next());
  EXPECT_THAT(rows.status().ToString(), HasSubstr("a:2: is longer than 1 MiB"));
  EXPECT_FALSE(rows.Next());
}

TEST(Digits, NumbersOfEveryLength) {
  std::mt19937_64 random(2);
  for (std::size_t size = 1; size <= 19; ++size) {
    for (int i = 0; i < 2000; ++i) {
      std::string text(size, '0');
      for (char& c : text) c = static_cast<char>('0' + random() % 10);
      const std::uint64_t expected = std::stoull(text);
      const std::string buffer = text + "9x-/:\xff,5";
      std::uint64_t value = 0;
      ASSERT_TRUE(ParseDigits(buffer.data(), size, &value)) << text;
      ASSERT_EQ(value, expected);
      // One byte that is no digit, anywhere.
      std::string wrong = buffer;
      char& c = wrong[random() % size];
      c = static_cast<char>(random());
      const bool digit = c >= '0' && c <= '9';
      ASSERT_EQ(ParseDigits(wrong.data(), size, &value), digit) << wrong;
    }
  }
  const std::string many(40, '1');
  std::uint64_t value = 0;
  EXPECT_FALSE(ParseDigits(many.data(), 0, &value));
  EXPECT_FALSE(ParseDigits(many.data(), 20, &value));
}

TEST(Digits, HexadecimalOfEveryLength) {
  std::mt19937_64 random(3);
  std::uint64_t value = 1;
  EXPECT_TRUE(ParseHex("", 0, &value));
  EXPECT_EQ(value, 0u);
  EXPECT_FALSE(ParseHex("11111111111111111", 17, &value));
  for (std::size_t size = 1; size <= 16; ++size) {
    for (int i = 0; i < 500; ++i) {
      std::string text(size, '0');
      for (char& c : text) c = "0123456789abcdefABCDEF"[random() % 22];
      ASSERT_TRUE(ParseHex(text.data(), size, &value));
      ASSERT_EQ(value, std::stoull(text, nullptr, 16));
      char& c = text[random() % size];
      c = static_cast<char>(random());
      ASSERT_EQ(ParseHex(text.data(), size, &value),
                std::isxdigit(static_cast<unsigned char>(c)) != 0);
    }
  }
}

TEST(Digits, ThePlaceOfAByteCounts) {
  const std::string text = "gateway,account,retrieve        ";
  for (std::size_t size = 0; size < 24; ++size) {
    for (std::size_t at = 0; at < text.size() - 8; ++at) {
      std::string other = text;
      other[at] ^= 1;
      EXPECT_EQ(QuickHash(text.data(), size) == QuickHash(other.data(), size), at >= size);
    }
  }
}

}  // namespace
}  // namespace seer::internal
