// benchmarks/live: what was measured is kept piece by piece, and what seer costs is told by the
// same requests with and without it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/live/paired.h"
#include "benchmarks/live/pieces.h"
#include "tests/examples/process.h"

namespace seer::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- Pieces

// A program that plays what it is told, and a clock that goes on meanwhile.
class LivePieces : public ::testing::Test {
 protected:
  bench::Pieces Make(double seconds = 1e6, const std::string& commit = "one") {
    return bench::Pieces({Folder(), commit, seconds,
                          [this](const std::string& arguments, const std::string& json) {
                            return Run(arguments, json);
                          },
                          [this] { return now_; }});
  }
  std::string Folder() const { return folder_.path() + "/kept/here"; }
  static bench::Piece Piece(const std::string& name, bool records = false) {
    return {name, "--seed " + name, 100, records};
  }
  bool Run(const std::string& arguments, const std::string& json) {
    ran_.push_back(arguments);
    now_ += 120;
    if (const std::size_t at = arguments.find(bench::Pieces::kRecord); at != std::string::npos) {
      const std::string file = arguments.substr(at + std::string(bench::Pieces::kRecord).size());
      std::ofstream(file, std::ios::app) << "tick\n";
    }
    if (static_cast<int>(ran_.size()) == fails_at_) return false;
    const double seconds = static_cast<int>(ran_.size()) == interrupted_at_ ? 40 : 100;
    std::ofstream(json)
        << "[{\"part\":\"none\",\"hours\":" << seconds / 2 / 3600
        << ",\"violations\":3,\"each_us\":[5,-1,7]},\n {\"part\":\"watch\",\"hours\":"
        << seconds / 2 / 3600 << ",\"p99_ms\":[1.5,2,3]}]\n";
    return true;
  }

  const ScratchDirectory folder_;
  std::vector<std::string> ran_;
  double now_ = 1000;
  int fails_at_ = 0, interrupted_at_ = 0;
  std::string why_;
};

TEST_F(LivePieces, AreReadAsTheProgramWroteThem) {
  bench::Pieces pieces = Make();
  ASSERT_TRUE(pieces.Play({Piece("1")}, &why_)) << why_;
  const std::vector<bench::Part> parts = pieces.PartsOf(Piece("1"));
  ASSERT_THAT(parts, SizeIs(2));
  EXPECT_TRUE(parts[0].is("none"));
  EXPECT_FALSE(parts[0].is("watch"));
  EXPECT_EQ(parts[0]["violations"], 3);
  EXPECT_EQ(parts[0]["no such"], 0);
  EXPECT_THAT(parts[0].List("each_us"), ElementsAre(5, -1, 7));
  EXPECT_THAT(parts[0].List("violations"), IsEmpty());
  EXPECT_TRUE(parts[1].is("watch"));
  EXPECT_THAT(parts[1].List("p99_ms"), ElementsAre(1.5f, 2, 3));
}

TEST_F(LivePieces, ThatAreThereAreNotPlayedAgain) {
  EXPECT_TRUE(Make().Play({Piece("1"), Piece("2")}, &why_));
  bench::Pieces later = Make(1e6, "two");
  EXPECT_TRUE(later.Play({Piece("1"), Piece("2"), Piece("3")}, &why_));
  EXPECT_THAT(ran_, ElementsAre("--seed 1", "--seed 2", "--seed 3"));
  EXPECT_THAT(later.CommitsOf({Piece("1"), Piece("3")}), ElementsAre("one", "two"));
  EXPECT_THAT(later.CommitsOf({Piece("1"), Piece("2")}), ElementsAre("one"));
}

TEST_F(LivePieces, GoOnInTheNextSliceOfTime) {
  const std::vector<bench::Piece> all = {Piece("1"), Piece("2"), Piece("3")};
  bench::Pieces slice = Make(260);  // two of 120 s
  EXPECT_FALSE(slice.Play(all, &why_));
  EXPECT_FALSE(slice.failed());
  EXPECT_THAT(why_, HasSubstr("2 of 3 pieces"));
  EXPECT_THAT(ran_, SizeIs(2));
  EXPECT_FALSE(Make(100).Play(all, &why_)) << "there is no time for any";
  EXPECT_TRUE(Make(260).Play(all, &why_));
  EXPECT_THAT(ran_, ElementsAre("--seed 1", "--seed 2", "--seed 3"));
}

TEST_F(LivePieces, TheOneThatWasUnderWayIsPlayedFromItsBeginning) {
  const std::vector<bench::Piece> all = {Piece("1"), Piece("2", true)};
  for (const bool fails : {true, false}) {
    SCOPED_TRACE(fails ? "the program failed" : "somebody interrupted it");
    std::filesystem::remove_all(Folder());
    ran_.clear();
    (fails ? fails_at_ : interrupted_at_) = 2;
    bench::Pieces first = Make();
    EXPECT_FALSE(first.Play(all, &why_));
    EXPECT_TRUE(first.failed());
    EXPECT_THAT(why_, HasSubstr("1 of 2 pieces"));
    EXPECT_TRUE(first.IsThere(all[0]));
    EXPECT_FALSE(first.IsThere(all[1]));
    bench::Pieces again = Make();
    EXPECT_TRUE(again.Play(all, &why_)) << why_;
    EXPECT_THAT(ran_, SizeIs(3)) << "the first one was kept";
    std::ifstream recording(again.RecordingOf(all[1]));
    std::string line;
    EXPECT_TRUE(std::getline(recording, line));
    EXPECT_FALSE(std::getline(recording, line)) << "nothing of the one that came to nothing";
  }
}

TEST_F(LivePieces, OfWhichHalfIsWrittenAreNotThere) {
  std::filesystem::create_directories(Folder());
  std::ofstream(Folder() + "/1.new") << "commit one\n[{\"part\":\"none\",\"hours\":1}";
  std::ofstream(Folder() + "/2.json") << "";
  bench::Pieces pieces = Make();
  EXPECT_FALSE(pieces.IsThere(Piece("1")));
  EXPECT_FALSE(pieces.IsThere(Piece("2")));
  EXPECT_TRUE(pieces.Play({Piece("1"), Piece("2")}, &why_)) << why_;
  EXPECT_THAT(ran_, SizeIs(2));
}

// ---- Pairs

TEST(LivePaired, TheIntervalIsStudents) {
  const bench::Interval interval = bench::IntervalOf({1, 2, 3, 4, 5});
  EXPECT_NEAR(interval.mean, 3, 1e-12);
  // The deviation of the mean is sqrt(2.5 / 5), t of four degrees of freedom 2.776.
  EXPECT_NEAR(interval.high - interval.mean, 2.776 * std::sqrt(0.5), 1e-3);
  EXPECT_NEAR(interval.mean - interval.low, 2.776 * std::sqrt(0.5), 1e-3);
  EXPECT_TRUE(std::isinf(bench::IntervalOf({1}).high)) << "one value tells nothing of the next";
  EXPECT_TRUE(std::isinf(bench::IntervalOf({}).high));
}

// Pairs of requests of many kinds, that wait for others now and then; `added` to the second ones.
std::vector<bench::Pair> PairsWith(double added_us) {
  std::mt19937_64 random(7);
  std::vector<bench::Pair> pairs(20);
  std::lognormal_distribution<double> kinds(7, 0.8), noise(4, 0.5);
  std::uniform_real_distribution<double> chance(0, 1);
  for (bench::Pair& pair : pairs) {
    for (int i = 0; i < 2'000; ++i) {
      const double usual = kinds(random);
      const auto took = [&](double more) {
        const double other = chance(random) < 0.02 ? 50'000 * chance(random) : 0;
        return static_cast<float>(usual + noise(random) + other + more);
      };
      pair.without.push_back(took(0));
      pair.with.push_back(took(added_us));
    }
  }
  return pairs;
}

TEST(LivePaired, WhatIsAddedIsFoundInTheNoise) {
  for (const double added_us : {0.0, 20.0, 100.0}) {
    SCOPED_TRACE(added_us);
    const auto pairs = PairsWith(added_us);
    const bench::Interval found = bench::AddedPercent(pairs, 100);
    std::vector<float> usual = pairs[0].without;
    std::sort(usual.begin(), usual.end());
    const auto fifth = static_cast<std::ptrdiff_t>(usual.size() / 5);
    const double base = std::accumulate(usual.begin() + fifth, usual.end() - fifth, 0.0) /
                        static_cast<double>(usual.size() - 2 * static_cast<std::size_t>(fifth));
    const double truth = 100 * added_us / base;
    EXPECT_NEAR(found.mean, truth, 0.5);
    EXPECT_LE(found.low, truth * 1.05);  // another pair's requests are others
    EXPECT_GE(found.high, truth * 0.95);
    EXPECT_LT(found.high - found.low, 0.5);
  }
}

TEST(LivePaired, RequestsThatWereNotAnsweredTwiceDoNotCount) {
  bench::Pair pair;
  for (int i = 0; i < 100; ++i) {
    pair.without.push_back(i < 10 ? 9'000'000 : i % 3 == 0 ? -1 : 1000);
    pair.with.push_back(i < 10 ? 1 : i % 5 == 0 ? -1 : 1010);
  }
  pair.with.push_back(77'000);  // the other half ended before
  const bench::Interval found = bench::AddedPercent({pair, pair, pair}, 10);
  EXPECT_NEAR(found.mean, 1, 1e-6);
  EXPECT_NEAR(found.high, 1, 1e-6);
}

}  // namespace
}  // namespace seer::testing
