// Flow: text -> [ParseRules] -> RuleTable -> RuleAdvisor
//
// What to do about which cause, as a text that people read and change:
//
//   # cause             action                    how far, how long
//   cpu                 cpu-limit                 factor=2 most=16 settle=1s hold=10s
//   memory-capacity     memory-limit              factor=1.5 settle=30s hold=5m
//   application         report
//   application         rate-limit                factor=0.8 min-confidence=0.9 after=2
//   tenant shop         priority=2 cpu-limit=16 memory-limit=64e9
//
// One rule or tenant a line; '#' begins a comment. Of several rules of one cause the first applies
// that can (the confidence suffices, the host knows what is in place, and it leaves room to move),
// and the later ones where the earlier did not help: `after` counts the actions that did not. Rules
// of which none can apply count as tried, but requests are refused only after others really failed.
//
//   factor           to set, of what is in place, where the forecast is certain; where it is less
//                    so, as much less of the way. Above 0; below 1 it shrinks. Or:
//   most             the largest factor, where more than `factor` is short (shortage.h); without it
//                    the factor is all. At least the factor
//   add              so much more, for what is counted (replicas): at least 1
//   min-confidence   of the diagnosis, 0 to 1
//   min-use          of the resource, of what there is, where it is known and requests wait for it
//                    long beside their target: a larger share of a link that is idle helps nobody.
//                    0 to 1
//   after            actions on this service that did not help before, 0 to 100
//   meanwhile        not instead of another rule of the cause but beside it, where requests wait
//                    for processors as well: who is held up holds them for longer, and the others
//                    need more of them until what is short is there. Of cpu-limit; without a value
//   settle           before the effect can be judged; a number with ms, s or m
//   hold             until it is undone by itself; above settle
//   cooldown         after its end, until the same service is acted upon again
//
// A tenant is an application, or '*' for all others. Its priority says whose alarms come first; an
// amount after an action's name is its budget: how much of it may be in force at a time beyond what
// was there before, in the action's unit. Without a budget there is no bound but the host's.
//
// Threads: a plain value; pure functions. Cost: parsing 10 us.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/diagnosis.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE

struct AdviceRule {
  Cause cause = Cause::kUndecided;
  Action action = Action::kReport;
  double factor = 1;
  double most = 0;  // 0: the factor
  double add = 0;   // above 0: instead of the factor
  double min_confidence = 0;
  double min_use = 0;
  std::uint32_t after = 0;
  bool meanwhile = false;  // beside the rule that applies
  std::int64_t settle_ns = 1'000'000'000;
  std::int64_t hold_ns = 30'000'000'000;
  std::int64_t cooldown_ns = 5'000'000'000;
};

struct TenantRule {
  std::string application;  // "*": all that have no line
  std::uint32_t priority = 0;
  std::array<std::optional<double>, kActions> budget;
};

struct RuleTable {
  static constexpr std::size_t kMaxLines = 10'000;

  std::vector<AdviceRule> rules;  // in the order in which they are tried
  std::vector<TenantRule> tenants;

  // The tenant's line, or that of '*', or one without bounds.
  const TenantRule& Tenant(std::string_view application) const;
};

// InvalidArgument: "line 3: 'settle=1' ...: give a number with ms, s or m".
absl::StatusOr<RuleTable> ParseRules(std::string_view text);
// As ParseRules() reads it.
std::string FormatRules(const RuleTable& table);

// The text of the default: what may be undone at once comes first; an application's own trouble is
// reported to its developers, and requests are refused only where nothing else helped.
std::string_view DefaultRulesText();
const RuleTable& DefaultRules();

SEER_END_NAMESPACE
