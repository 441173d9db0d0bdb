// examples/social_network: the command line, and what is shown on a terminal while a run goes on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "examples/social_network/judge.h"
#include "examples/social_network/options.h"
#include "examples/social_network/screen.h"

namespace seer::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// ---- The command line

bool Parsed(std::vector<std::string> words, social::Options* options) {
  std::string program = "social-network", why;
  std::vector<char*> arguments = {program.data()};
  for (std::string& word : words) arguments.push_back(word.data());
  return social::Parse(static_cast<int>(arguments.size()), arguments.data(), options, &why);
}

TEST(SocialOptions, EachAblationLooksAtItsChannelsOnly) {
  struct Case {
    const char* name;
    ChannelMask channels;
  };
  for (const Case& c : {Case{"--nic-only", ChannelMask::NicOnly()},
                        Case{"--kernel-only", ChannelMask::KernelOnly()},
                        Case{"--app-only", ChannelMask::AppOnly()}}) {
    SCOPED_TRACE(c.name);
    social::Options options;
    EXPECT_EQ(options.channels.bits(), ChannelMask::All().bits());
    ASSERT_TRUE(Parsed({c.name}, &options));
    EXPECT_EQ(options.channels.bits(), c.channels.bits());
  }
}

TEST(SocialOptions, AreWhatTheHelpSays) {
  social::Options options;
  ASSERT_TRUE(Parsed({"--short", "--seed", "7", "--rate", "100", "--shape", "spikes", "--parts",
                      "none,watch,act", "--cyclic", "--chaos", "--no-faults"},
                     &options));
  EXPECT_EQ(options.seconds, 48);
  EXPECT_EQ(options.seed, 7u);
  EXPECT_EQ(options.rate, 100);
  EXPECT_EQ(options.shape, social::Shape::kSpikes);
  EXPECT_THAT(options.parts,
              ElementsAre(social::Part::kNone, social::Part::kWatch, social::Part::kAct));
  EXPECT_TRUE(options.cyclic);
  EXPECT_TRUE(options.chaos);
  EXPECT_FALSE(options.faults);
  social::Options no_seer, shadow;
  ASSERT_TRUE(Parsed({"--no-seer"}, &no_seer));
  EXPECT_THAT(no_seer.parts, ElementsAre(social::Part::kNone));
  ASSERT_TRUE(Parsed({"--shadow"}, &shadow));
  EXPECT_THAT(shadow.parts, ElementsAre(social::Part::kWatch));
}

// ---- The screen

// What it shows on a terminal of that size after each second of the record.
std::string Shown(unsigned short rows, unsigned short columns, const social::Record& whole) {
  winsize size = {};
  size.ws_row = rows;
  size.ws_col = columns;
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) {
    ::setenv("TERM", "xterm", 1);
    {
      social::View view;
      social::Record record = whole;
      record.seconds.clear();
      for (const social::LatencySecond& second : whole.seconds) {
        record.seconds.push_back(second);
        view.Show(record);
      }
    }
    ::_exit(0);
  }
  std::string shown;
  char bytes[4096];
  for (ssize_t n; (n = ::read(terminal, bytes, sizeof bytes)) > 0;) {
    shown.append(bytes, static_cast<std::size_t>(n));
  }
  ::close(terminal);
  ::waitpid(child, nullptr, 0);
  return shown;
}

// The lines of the last picture, without what colours them.
std::vector<std::string> LastPicture(const std::string& shown) {
  std::vector<std::string> lines(1);
  const std::size_t from = shown.rfind("\x1b[H"), to = shown.find("\x1b[J", from);
  for (std::size_t at = from; at < std::min(to, shown.size()); ++at) {
    if (shown[at] == '\x1b') {
      at = shown.find_first_of("HKJm", at);
    } else if (shown[at] == '\n') {
      lines.emplace_back();
    } else if (shown[at] != '\r') {
      lines.back() += shown[at];
    }
  }
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

social::Record SomeSeconds() {
  social::Record record;
  record.title = "act";
  record.planned_s = 60;
  constexpr std::int64_t kSecondNs = 1'000'000'000;
  for (int s = 1; s <= 30; ++s) {
    social::LatencySecond& second = record.seconds.emplace_back();
    second.end_ns = s * kSecondNs;
    second.p99_ms = {250, 9, 20};
    social::QueuesAt& at = record.queues.emplace_back();
    at.at_ns = second.end_ns;
    for (int i = 0; i < 22; ++i) {
      at.depths["a-service-with-a-long-name-" + std::to_string(i)] = {10.0 * i, 1,
                                                                      i == 21 ? 99.0 : 0};
    }
    record.Take(
        {"alarm", second.end_ns, {"read-home-timeline", "post-storage-service", "0.7", "new"}});
    record.Take({"cause",
                 second.end_ns,
                 {"read-home-timeline", "post-storage-service", "network", "0.9",
                  "network 36000 us for each request, usually 12, and more words than fit"}});
  }
  return record;
}

TEST(SocialScreen, FitsTheTerminal) {
  struct Case {
    unsigned short rows, columns;
  };
  for (const Case& c : {Case{24, 80}, Case{50, 200}, Case{30, 100}}) {
    SCOPED_TRACE(c.rows);
    const std::string shown = Shown(c.rows, c.columns, SomeSeconds());
    const std::vector<std::string> lines = LastPicture(shown);
    EXPECT_LE(lines.size(), c.rows - 1u) << "it would scroll";
    EXPECT_GE(lines.size(), c.rows / 2u);
    for (const std::string& line : lines) EXPECT_LE(line.size(), c.columns) << line;
    const auto has = [&](const std::string& text) {
      return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
        return line.find(text) != std::string::npos;
      });
    };
    EXPECT_TRUE(has("part 'act', 30 of 60 s"));
    EXPECT_TRUE(has("ALARM      read-home-timeline, initiator post-storage-service (70 %)"));
    EXPECT_TRUE(has("cause      post-storage-service: network (90 %)"));
    EXPECT_TRUE(has("####")) << "queues are bars";
    EXPECT_TRUE(has("a-service-with-a-long-name-21")) << "the deepest one";
  }
}

TEST(SocialScreen, GivesTheTerminalBackAsItWas) {
  const std::string shown = Shown(24, 80, SomeSeconds());
  EXPECT_EQ(shown.rfind("\x1b[?1049h", 0), 0u) << "the other screen, so that nothing is lost";
  EXPECT_THAT(shown, HasSubstr("\x1b[?25l"));
  const std::size_t last = shown.rfind("\x1b[?25h\x1b[?1049l");
  ASSERT_NE(last, std::string::npos);
  EXPECT_THAT(shown.substr(last), Not(HasSubstr("ALARM")));
}

}  // namespace
}  // namespace seer::testing
