// examples/social_network: what seer does there. Faults follow their seed and are undone, alarms
// are judged by the rules of include/seer/README.md, and nobody notices when seer's processes are
// killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "examples/social_network/fault_script.h"
#include "examples/social_network/judge.h"
#include "examples/social_network/news.h"
#include "seer/predict/tree_model.h"
#include "tests/examples/process.h"
#include "tests/examples/social_application.h"

namespace seer::testing {
namespace {

using ::social::Fault;
using ::social::FaultKind;
using ::social::News;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::int64_t kMs = 1'000'000;

// ---- The script of the faults

std::set<FaultKind> AllKinds() {
  std::set<FaultKind> kinds;
  for (std::size_t i = 0; i < social::kFaultKinds; ++i) kinds.insert(static_cast<FaultKind>(i));
  return kinds;
}

social::ScriptOptions TenMinutes(std::uint64_t seed) {
  social::ScriptOptions options;
  options.seed = seed;
  options.end_ns = 600'000 * kMs;
  options.possible = AllKinds();
  return options;
}

TEST(SocialFaultScript, FollowsItsSeedWithinItsBounds) {
  std::set<FaultKind> kinds;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    const auto script = social::MakeScript(TenMinutes(seed));
    const auto same = social::MakeScript(TenMinutes(seed));
    ASSERT_EQ(script.size(), same.size());
    EXPECT_GE(script.size(), 30u);
    std::int64_t free_from = 15'000 * kMs;
    for (std::size_t i = 0; i < script.size(); ++i) {
      EXPECT_EQ(script[i].Describe(), same[i].Describe());
      EXPECT_EQ(script[i].start_ns, same[i].start_ns);
      EXPECT_GE(script[i].start_ns, free_from) << "two at the same time";
      EXPECT_GE(script[i].end_ns - script[i].start_ns, 2'000 * kMs);
      EXPECT_LE(script[i].end_ns - script[i].start_ns, 4'000 * kMs);
      EXPECT_LE(script[i].end_ns, 600'000 * kMs);
      free_from = script[i].end_ns;
      kinds.insert(script[i].kind);
    }
  }
  EXPECT_EQ(kinds, AllKinds());
  EXPECT_NE(social::MakeScript(TenMinutes(1))[0].Describe() +
                social::MakeScript(TenMinutes(1))[1].Describe(),
            social::MakeScript(TenMinutes(2))[0].Describe() +
                social::MakeScript(TenMinutes(2))[1].Describe());
}

TEST(SocialFaultScript, LeavesOutWhatCannotBeDoneAndNothingElse) {
  social::ScriptOptions options = TenMinutes(3);
  const auto all = social::MakeScript(options);
  options.possible.erase(FaultKind::kCpuQuota);
  options.possible.erase(FaultKind::kDrops);
  const auto fewer = social::MakeScript(options);
  std::vector<std::string> expected, got;
  for (const Fault& fault : all) {
    if (options.possible.count(fault.kind) > 0) expected.push_back(fault.Describe());
  }
  for (const Fault& fault : fewer) got.push_back(fault.Describe());
  EXPECT_LT(got.size(), all.size());
  EXPECT_EQ(got, expected);
}

TEST(SocialFaultScript, ToLearnFromAllKindsComeInTurnAndSoTheTargetsOfEach) {
  social::ScriptOptions options = TenMinutes(3);
  options.all_in_turn = true;
  options.every_ns = 6'000 * kMs;
  const auto script = social::MakeScript(options);
  ASSERT_GE(script.size(), 10 * social::kFaultKinds);
  std::map<FaultKind, std::vector<std::string>> targets;
  std::set<std::string> orders;
  for (std::size_t turn = 0; turn < 10; ++turn) {
    std::set<FaultKind> kinds;
    std::string order;
    for (std::size_t i = 0; i < social::kFaultKinds; ++i) {
      const Fault& fault = script[turn * social::kFaultKinds + i];
      kinds.insert(fault.kind);
      order += social::NameOf(fault.kind);
      targets[fault.kind].push_back(fault.target);
    }
    EXPECT_EQ(kinds, AllKinds()) << "turn " << turn;
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 5u) << "in any order";
  for (const auto& [kind, ten] : targets) {
    const std::set<std::string> each(ten.begin(), ten.end());
    for (const std::string& target : each) {
      EXPECT_GE(std::count(ten.begin(), ten.end(), target), 2) << social::NameOf(kind);
    }
  }
  options.seed = 4;
  EXPECT_NE(social::MakeScript(options)[0].Describe() + social::MakeScript(options)[1].Describe(),
            script[0].Describe() + script[1].Describe());
  options.possible.clear();
  EXPECT_THAT(social::MakeScript(options), IsEmpty());
}

// ---- The judge

News Told(const char* kind, std::int64_t at_ms, std::vector<std::string> words) {
  return {kind, at_ms * kMs, std::move(words)};
}

social::Record OneFault() {
  social::Record record;
  record.end_ns = 100'000 * kMs;
  Fault fault;
  fault.kind = FaultKind::kCpuQuota;
  fault.target = "post-storage-service";
  record.faults.push_back({fault, 10'000 * kMs, 12'000 * kMs});
  record.missed.push_back({0, 10'800 * kMs, 12'500 * kMs});
  return record;
}

TEST(SocialJudge, MatchesAlarmsAndViolationsOneToOne) {
  struct Case {
    const char* name;
    std::vector<std::int64_t> alarms_ms;  // of the class that is violated
    std::size_t hits, late, false_alarms;
  };
  for (const Case& c :
       {Case{"in time", {10'400}, 1, 0, 0}, Case{"just in time", {10'700}, 1, 0, 0},
        Case{"too late", {10'750}, 0, 1, 0}, Case{"during", {11'000}, 0, 1, 0},
        Case{"too early", {8'700}, 0, 0, 1}, Case{"soon after", {12'900}, 0, 0, 0},
        Case{"long after", {13'100}, 0, 0, 1}, Case{"two for one", {9'000, 10'500}, 1, 0, 1}}) {
    SCOPED_TRACE(c.name);
    social::Record record = OneFault();
    for (const std::int64_t at : c.alarms_ms) {
      record.Take(Told("alarm", at, {"read-home-timeline", "post-storage-service", "0.7", "new"}));
    }
    const social::Verdict verdict = social::Judge(record);
    EXPECT_EQ(verdict.violations, 1u);
    EXPECT_EQ(verdict.of_faults, 1u);
    EXPECT_EQ(verdict.hits.size(), c.hits);
    EXPECT_EQ(verdict.late, c.late);
    EXPECT_EQ(verdict.false_alarms, c.false_alarms);
  }
  social::Record other = OneFault();
  other.Take(Told("alarm", 10'400, {"compose-post", "post-storage-service", "0.7", "new"}));
  EXPECT_EQ(social::Judge(other).hits.size(), 0u) << "the alarm of another class";
}

TEST(SocialJudge, AsksForTheRightServiceAndTheRightCause) {
  struct Case {
    const char* blamed;
    const char* culprit;
    const char* cause;
    std::size_t culprit_right, cause_right;
  };
  for (const Case& c : {Case{"post-storage-service", "post-storage-service", "cpu", 1, 1},
                        Case{"post-storage-service", "post-storage-service", "network", 1, 0},
                        Case{"post-storage-service", "post-storage-service", "undecided", 1, 0},
                        Case{"web-service", "web-service", "cpu", 0, 0}}) {
    SCOPED_TRACE(std::string(c.blamed) + " " + c.cause);
    social::Record record = OneFault();
    record.Take(Told("alarm", 10'400, {"read-home-timeline", c.blamed, "0.7", "new"}));
    record.Take(Told("cause", 10'600, {"read-home-timeline", c.culprit, c.cause, "0.8", "x"}));
    const social::Verdict verdict = social::Judge(record);
    EXPECT_EQ(verdict.hits_of_faults, 1u);
    EXPECT_EQ(verdict.culprit_right, c.culprit_right);
    EXPECT_EQ(verdict.cause_right, c.cause_right);
  }
}

TEST(SocialJudge, ACaseIsOfAServiceWhicheverClassesItEndangers) {
  struct Case {
    const char* of_class;
    const char* culprit;
    std::size_t cause_right;
  };
  for (const Case& c : {Case{"read-user-timeline", "post-storage-service", 1},
                        Case{"read-user-timeline", "web-service", 0},
                        Case{"read-home-timeline", "web-service", 0}}) {
    SCOPED_TRACE(std::string(c.of_class) + " " + c.culprit);
    social::Record record = OneFault();
    record.Take(
        Told("alarm", 10'400, {"read-home-timeline", "post-storage-service", "0.7", "new"}));
    record.Take(Told("cause", 10'500, {c.of_class, c.culprit, "cpu", "0.8", "x"}));
    EXPECT_EQ(social::Judge(record).cause_right, c.cause_right);
  }
}

TEST(SocialJudge, AnActionThatIsRenewedIsOne) {
  social::Record record = OneFault();
  record.Take(Told("action", 10'600, {"3", "postgres", "cpu-limit", "0.025", "0.4", "cpu"}));
  for (const char* outcome : {"applied", "unchanged", "unchanged", "expired"}) {
    record.Take(Told("outcome", 10'700, {"3", "postgres", outcome, "0.025", "0.4", "as it says"}));
  }
  record.Take(Told("outcome", 10'700, {"4", "postgres", "failed", "0", "0", "another one's"}));
  ASSERT_EQ(record.actions.size(), 1u);
  EXPECT_EQ(record.actions[0].outcome, "applied, expired");
}

TEST(SocialNews, IsReadAsItWasWrittenWhoeverIsInBetween) {
  const ScratchDirectory folder;
  const std::string path = folder.path() + "/news";
  social::NewsReader reader(path);
  EXPECT_THAT(reader.Read(), IsEmpty());
  social::NewsWriter writer(path);
  writer.Write({"alarm", 7, {"a class", "tab\tand\nline", ""}});
  std::ofstream(path, std::ios::app) << "half of a li" << std::flush;
  auto news = reader.Read();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].kind, "alarm");
  EXPECT_EQ(news[0].at_ns, 7);
  EXPECT_EQ(news[0].word(1), "tab and line");
  EXPECT_EQ(news[0].word(9), "");
  std::ofstream(path, std::ios::app) << "ne\t8\tx\n" << std::flush;
  news = reader.Read();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].kind, "half of a line");
}

// ---- The program

class SocialSeer : public SocialNetworkRun {
 protected:
  static std::string Text(const std::string& path) {
    std::ifstream file(path);
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }
  // The number behind a name in the figures.
  static double Figure(const std::string& json, const std::string& name) {
    const std::size_t at = json.find("\"" + name + "\":");
    EXPECT_NE(at, std::string::npos) << json;
    return at == std::string::npos ? -1 : std::strtod(json.c_str() + at + name.size() + 3, nullptr);
  }

  const ScratchDirectory out_;
};

TEST_F(SocialSeer, RunsItsPartsAndReports) {
  const std::string report = out_.path() + "/report.html", figures = out_.path() + "/figures";
  Application application({"--short", "--rate", "100", "--report", report, "--json", figures});
  EXPECT_EQ(application.Wait(), 0) << application.printed();
  for (const char* text : {"part 'watch'", "part 'act'", "fault      ", "report: "}) {
    EXPECT_THAT(application.printed(), HasSubstr(text));
  }
  EXPECT_THAT(application.printed(), Not(HasSubstr("without a trained model")));
  const std::string html = Text(report), json = Text(figures);
  for (const char* text : {"<svg", "class=\"fault\"", "Who calls whom", "ms</text>", "</html>"}) {
    EXPECT_THAT(html, HasSubstr(text));
  }
  EXPECT_THAT(html, Not(HasSubstr("<script"))) << "it needs nothing";
  EXPECT_THAT(html, Not(HasSubstr(" src=")));
  EXPECT_GE(Figure(json, "faults"), 1);
  EXPECT_GT(Figure(json, "answered"), 2000);
  ExpectNothingIsLeft(application);
}

TEST_F(SocialSeer, LearnsFromARecordingWithoutARun) {
  const std::string model = out_.path() + "/model";
  Application application({"--learn", model, "--from", SEER_SOCIAL_RECORDING});
  EXPECT_EQ(application.Wait(), 0) << application.printed();
  EXPECT_THAT(application.printed(), HasSubstr("are foreseen"));
  const auto learnt = seer::LoadTreeModel(model);
  ASSERT_TRUE(learnt.ok()) << learnt.status();
  EXPECT_GT(learnt->initiators.size(), 0u);
  ExpectNothingIsLeft(application);
}

TEST_F(SocialSeer, NobodyNoticesThatItsProcessesAreKilled) {
  const std::string figures = out_.path() + "/figures";
  Application application({"--duration", "30", "--rate", "60", "--shadow", "--no-faults", "--chaos",
                           "--report", "", "--json", figures});
  EXPECT_EQ(application.Wait(), 0) << application.printed();
  const std::string json = Text(figures);
  EXPECT_GE(Figure(json, "killed"), 3);
  EXPECT_EQ(Figure(json, "failed"), 0);
  // The process is back at once; what the machine has time for besides is not its doing.
  EXPECT_GT(Figure(json, "longest_pause_ms"), 0);
  ExpectNothingIsLeft(application);
}

TEST_F(SocialSeer, LeavesNothingBehindWhereverItIsInterrupted) {
  for (const std::string when :
       {"starting", "users;", "part 'watch'", "home ", "part 'act'", "seer acts:"}) {
    SCOPED_TRACE(when);
    Application application({"--duration", "8", "--rate", "60", "--report", "", "--model",
                             when == "starting" ? "shipped" : "none"});
    EXPECT_TRUE(application.Prints(when)) << application.printed();
    application.Signal(SIGINT);
    EXPECT_EQ(application.Wait(), 0) << application.printed();
    ExpectNothingIsLeft(application);
  }
}

TEST_F(SocialSeer, LeavesNothingBehindInTheMiddleOfAFault) {
  for (const int number : {SIGINT, SIGKILL}) {
    SCOPED_TRACE(number);
    Application application(
        {"--duration", "30", "--parts", "act", "--rate", "60", "--model", "none", "--report", ""});
    ASSERT_TRUE(application.Prints("fault      ")) << application.printed();
    application.Signal(number);
    EXPECT_EQ(application.Wait(), number == SIGKILL ? -SIGKILL : 0) << application.printed();
    ExpectNothingIsLeft(application);
  }
}

}  // namespace
}  // namespace seer::testing
