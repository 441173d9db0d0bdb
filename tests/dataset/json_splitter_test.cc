#include "dataset/json_splitter.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/dataset/random_ticks.h"

namespace seer::internal {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;
using testing::WriteFile;

// What a splitter gives: the objects, and how it ended.
struct Pieces {
  std::vector<std::string> texts;
  std::vector<std::uint64_t> offsets;
  absl::Status status;
};

Pieces Split(const std::string& path, std::string_view key, std::size_t max_bytes = 64 << 20) {
  auto file = InputFile::Open(path);
  EXPECT_TRUE(file.ok());
  JsonSplitter splitter(&*file, key, max_bytes);
  Pieces pieces;
  JsonPiece piece;
  for (;;) {
    const absl::StatusOr<bool> more = splitter.Next(&piece);
    pieces.status = more.status();
    if (!more.ok() || !*more) return pieces;
    pieces.texts.emplace_back(piece.text);
    pieces.offsets.push_back(piece.offset);
  }
}

// A document that holds the objects in the shapes that the header names, and text of no meaning.
class Documents {
 public:
  explicit Documents(unsigned seed) : random_(seed) {}

  std::string Text() {
    std::string text = "\"k";  // never the name of the list
    for (std::uint64_t n = Dice(30); n > 0; --n)
      text += Pick({"a", "{", "}", "[", "]", "\\\"", "\\\\", ",", "data"});
    return text + '"';
  }
  std::string Value(int depth) {
    switch (depth > 0 ? Dice(6) : Dice(3)) {
      case 0:
        return Text();
      case 1:
        return std::to_string(random_());
      case 2:
        return Pick({"null", "true", "[]", "{}"});
      case 3: {
        std::string list = "[";
        for (std::uint64_t n = Dice(4); n > 0; --n) list += Value(depth - 1) + (n > 1 ? "," : "");
        return list + "]";
      }
      default:
        return Object(depth - 1);
    }
  }
  std::string Object(int depth) {
    std::string object = "{";
    for (std::uint64_t n = Dice(4); n > 0; --n) {
      object += Text() + Space() + ":" + Space() + Value(depth) + (n > 1 ? "," : "");
    }
    return object + "}";
  }
  std::string Space() { return Pick({"", "", "", " ", "\n\t"}); }
  std::string Pick(std::vector<std::string> from) { return from[Dice(from.size())]; }
  std::uint64_t Dice(std::uint64_t n) { return random_() % n; }

 private:
  std::mt19937_64 random_;
};

TEST(JsonSplitter, FindsEveryObjectWhereItStands) {
  const TempDir dir;
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Documents make(seed);
    std::vector<std::string> objects;
    std::vector<std::uint64_t> offsets;
    std::string text;
    const auto put = [&](const std::string& object) {
      offsets.push_back(text.size());
      objects.push_back(object);
      text += object;
    };
    const std::uint64_t shape = make.Dice(4);
    // Some reach over what is read at once.
    const std::uint64_t count = seed % 50 == 0 ? 3000 : make.Dice(20);
    if (shape == 1) text += "{\"total\": 3, \"other\": [{\"data\":[]}], \"data\" : [";
    if (shape == 2) text += "[";
    if (shape == 3) text += "[[";
    for (std::uint64_t i = 0; i < count; ++i) {
      if (i > 0) text += shape == 0 ? "\n" : make.Space() + ",";
      if (shape == 3 && make.Dice(3) == 0 && i > 0) {
        text.pop_back();
        text += "],[";
      }
      text += make.Space();
      put(make.Object(4));
    }
    // Behind the list of an object there may be anything.
    if (shape == 1) text += "], \"x\": " + make.Value(4) + ", \"errors\": [{}]}";
    if (shape == 2) text += "]";
    if (shape == 3) text += "]]";
    WriteFile(dir / "a", text + make.Space());
    const Pieces pieces = Split(dir / "a", "data");
    ASSERT_TRUE(pieces.status.ok()) << pieces.status << text.substr(0, 500);
    ASSERT_EQ(pieces.texts, objects);
    ASSERT_EQ(pieces.offsets, offsets);
  }
}

TEST(JsonSplitter, AnObjectMayBeAsLargeAsTheBoundAndNoLarger) {
  const TempDir dir;
  for (const std::size_t size : {std::size_t{100}, std::size_t{300'000}, std::size_t{3'000'000}}) {
    const std::string object = "{\"a\":\"" + std::string(size - 8, 'x') + "\"}";
    ASSERT_EQ(object.size(), size);
    WriteFile(dir / "a", "[{}," + object + "]");
    EXPECT_EQ(Split(dir / "a", "data", size).texts.size(), 2u);
    const Pieces pieces = Split(dir / "a", "data", size - 1);
    EXPECT_THAT(pieces.status.ToString(), HasSubstr("a: byte 4: an object of more than"));
    EXPECT_EQ(pieces.texts.size(), 1u);
  }
}

TEST(JsonSplitter, SaysWhereItIsBroken) {
  const TempDir dir;
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"}", "byte 0: '}' closes nothing"},
           {"[{}]]", "byte 4: ']' closes nothing"},
           {"[{\"a\":1]", "byte 7: ']' closes an object"},
           {"[{\"a\":1", "byte 7: the JSON ends within"},
           {"{\"data\":[{}", "byte 11: the JSON ends within"},
           {"{\"a\":\"}", "byte 7: the JSON ends within"}}) {
    SCOPED_TRACE(text);
    WriteFile(dir / "a", text);
    EXPECT_THAT(Split(dir / "a", "data").status.ToString(), HasSubstr(words));
  }
}

}  // namespace
}  // namespace seer::internal
