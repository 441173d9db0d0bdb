#include "seer/advise/rules.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::int64_t kMaxTimeNs = std::int64_t{24} * 3600 * 1'000'000'000;

constexpr char kDefaultText[] =
    "# cause           action                 how far, how long\n"
    "cpu               cpu-limit              factor=2 most=16 settle=1s hold=10s "
    "min-confidence=0.3\n"
    "cpu               replicas               add=1 settle=10s hold=5m after=1 "
    "min-confidence=0.5\n"
    "cache             cache-partition        factor=3 settle=1s hold=10s min-confidence=0.3\n"
    "memory-bandwidth  memory-bandwidth-share factor=3 settle=1s hold=10s min-confidence=0.3\n"
    "memory-bandwidth  cpu-limit              factor=2 most=16 settle=1s hold=10s "
    "min-confidence=0.3 meanwhile\n"
    "memory-capacity   memory-limit           factor=1.5 settle=10s hold=5m min-confidence=0.3\n"
    "memory-capacity   cpu-limit              factor=2 most=16 settle=1s hold=10s "
    "min-confidence=0.3 meanwhile\n"
    "network           network-share          factor=2 settle=1s hold=10s min-use=0.1 "
    "min-confidence=0.3 cooldown=1s\n"
    "network           replicas               add=1 settle=10s hold=1m after=1 "
    "min-confidence=0.5\n"
    "storage           io-share               factor=2 settle=1s hold=10s min-confidence=0.3\n"
    "load              cpu-limit              factor=2 most=16 settle=1s hold=10s "
    "min-confidence=0.3\n"
    "load              replicas               add=1 settle=10s hold=5m after=1 "
    "min-confidence=0.5\n"
    "application       report                 min-confidence=0.3\n"
    "application       pool-size              add=100 settle=500ms hold=30s after=1 "
    "min-confidence=0.5 cooldown=0s\n"
    "application       replicas               add=2 settle=10s hold=5m after=2 "
    "min-confidence=0.5\n"
    "application       rate-limit             factor=0.8 settle=1s hold=10s after=3 "
    "min-confidence=0.8\n";

bool ParseDouble(std::string_view text, double* number) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *number);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size() &&
         std::isfinite(*number);
}

absl::Status At(std::size_t line, std::string_view word, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line, ": '", internal::ToAbsl(word), "' ", internal::ToAbsl(what)));
}

// "100ms", "1.5s", "5m"
bool ParseTime(std::string_view text, std::int64_t* ns) {
  const std::size_t unit = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0, scale = 0;
  if (text.substr(unit) == "ms") scale = 1e6;
  if (text.substr(unit) == "s") scale = 1e9;
  if (text.substr(unit) == "m") scale = 60e9;
  if (scale == 0 || !ParseDouble(text.substr(0, unit), &number)) return false;
  if (number < 0 || number * scale > static_cast<double>(kMaxTimeNs)) return false;
  *ns = std::llround(number * scale / 1000) * 1000;  // so that it can be written again
  return true;
}

std::string FormatNumber(double value) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, result.ptr);
}

std::string FormatTime(std::int64_t ns) {
  if (ns % 60'000'000'000 == 0 && ns > 0) return absl::StrCat(ns / 60'000'000'000, "m");
  if (ns % 1'000'000'000 == 0) return absl::StrCat(ns / 1'000'000'000, "s");
  if (ns % 1'000'000 == 0) return absl::StrCat(ns / 1'000'000, "ms");
  return absl::StrCat(FormatNumber(static_cast<double>(ns) / 1e6), "ms");
}

absl::Status ParseSetting(std::size_t line, std::string_view word, AdviceRule* rule) {
  if (word == "meanwhile") {
    rule->meanwhile = true;
    return absl::OkStatus();
  }
  const std::size_t equals = std::min(word.find('='), word.size());
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = word.substr(std::min(equals + 1, word.size()));
  double number = 0;
  const auto in = [&](double low, double high) {
    return ParseDouble(value, &number) && number >= low && number <= high;
  };
  if (key == "factor") {
    if (!in(1e-3, 1e3)) return At(line, word, "is no factor: give a number from 0.001 to 1000");
    rule->factor = number;
  } else if (key == "most") {
    if (!in(1, 1e3)) return At(line, word, "is no factor: give a number from 1 to 1000");
    rule->most = number;
  } else if (key == "add") {
    if (!in(1, 1e6)) return At(line, word, "adds nothing: give a number of at least 1");
    rule->add = number;
  } else if (key == "min-confidence") {
    if (!in(0, 1)) return At(line, word, "is no probability: give a number from 0 to 1");
    rule->min_confidence = number;
  } else if (key == "min-use") {
    if (!in(0, 1)) return At(line, word, "is no share: give a number from 0 to 1");
    rule->min_use = number;
  } else if (key == "after") {
    if (!in(0, 100) || number != std::floor(number)) {
      return At(line, word, "is no count: give a whole number from 0 to 100");
    }
    rule->after = static_cast<std::uint32_t>(number);
  } else if (key == "settle" || key == "hold" || key == "cooldown") {
    std::int64_t* const time = key == "settle" ? &rule->settle_ns
                               : key == "hold" ? &rule->hold_ns
                                               : &rule->cooldown_ns;
    if (!ParseTime(value, time)) {
      return At(line, word, "is no time: give a number with ms, s or m, at most a day");
    }
  } else {
    return At(line, word,
              "is not known: give factor, most, add, min-confidence, min-use, after, meanwhile, "
              "settle, hold or cooldown");
  }
  return absl::OkStatus();
}

absl::Status ParseTenant(std::size_t line, const std::vector<std::string_view>& words,
                         RuleTable* table) {
  if (words.size() < 2) return At(line, words[0], "names nobody: give an application or '*'");
  TenantRule tenant;
  tenant.application = std::string(words[1]);
  for (const TenantRule& other : table->tenants) {
    if (other.application == tenant.application) return At(line, words[1], "has a line already");
  }
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::size_t equals = std::min(words[i].find('='), words[i].size());
    const std::string_view key = words[i].substr(0, equals);
    double number = 0;
    if (equals == words[i].size() || !ParseDouble(words[i].substr(equals + 1), &number) ||
        number < 0) {
      return At(line, words[i], "is no setting: give priority=2 or an action=amount, from 0");
    }
    if (key == "priority") {
      if (number > 1e6 || number != std::floor(number)) {
        return At(line, words[i], "is no priority: give a whole number to 1000000");
      }
      tenant.priority = static_cast<std::uint32_t>(number);
      continue;
    }
    const std::optional<Action> action = ActionFromName(key);
    if (!action || *action == Action::kReport) {
      return At(line, words[i], "is no action with a budget: give one like cpu-limit");
    }
    tenant.budget[static_cast<std::size_t>(*action)] = number;
  }
  table->tenants.push_back(std::move(tenant));
  return absl::OkStatus();
}

absl::Status ParseRule(std::size_t line, const std::vector<std::string_view>& words,
                       RuleTable* table) {
  AdviceRule rule;
  const std::optional<Cause> cause = CauseFromName(words[0]);
  if (!cause || *cause == Cause::kUndecided) {
    return At(line, words[0],
              "is no cause: give a resource, application, load, or tenant for a budget");
  }
  rule.cause = *cause;
  if (words.size() < 2) return At(line, words[0], "has no action: give one like cpu-limit");
  const std::optional<Action> action = ActionFromName(words[1]);
  if (!action) return At(line, words[1], "is no action: give one like cpu-limit or report");
  rule.action = *action;
  for (std::size_t i = 2; i < words.size(); ++i) {
    SEER_RETURN_IF_ERROR(ParseSetting(line, words[i], &rule));
  }
  if (rule.action != Action::kReport) {
    if (rule.factor == 1 && rule.add == 0) {
      return At(line, words[1], "changes nothing: give a factor other than 1, or add");
    }
    if (rule.most != 0 && rule.most < rule.factor) {
      return At(line, words[1], "has a most below its factor: give a larger one, or none");
    }
    if (rule.factor != 1 && rule.add != 0) return At(line, words[1], "has both factor and add");
    if (rule.hold_ns <= rule.settle_ns) {
      return At(line, words[1], "ends before it can be judged: give a hold above settle");
    }
  }
  if (rule.meanwhile && rule.action != Action::kCpuLimit) {
    return At(line, words[1], "is nothing to do meanwhile: give cpu-limit");
  }
  table->rules.push_back(rule);
  return absl::OkStatus();
}

}  // namespace

const TenantRule& RuleTable::Tenant(std::string_view application) const {
  static const TenantRule* const unbounded = new TenantRule();
  const TenantRule* others = unbounded;
  for (const TenantRule& tenant : tenants) {
    if (tenant.application == application) return tenant;
    if (tenant.application == "*") others = &tenant;
  }
  return *others;
}

absl::StatusOr<RuleTable> ParseRules(std::string_view text) {
  RuleTable table;
  std::size_t number = 0;
  for (const absl::string_view whole : absl::StrSplit(internal::ToAbsl(text), '\n')) {
    if (++number > RuleTable::kMaxLines) {
      return absl::InvalidArgumentError("more than 10000 lines: give fewer");
    }
    std::string_view line = internal::ToStd(whole);
    line = line.substr(0, std::min(line.find('#'), line.size()));
    std::vector<std::string_view> words;
    for (const absl::string_view word :
         absl::StrSplit(internal::ToAbsl(line), absl::ByAnyChar(" \t\r"), absl::SkipEmpty())) {
      words.push_back(internal::ToStd(word));
    }
    if (words.empty()) continue;
    SEER_RETURN_IF_ERROR(words[0] == "tenant" ? ParseTenant(number, words, &table)
                                              : ParseRule(number, words, &table));
  }
  return table;
}

std::string FormatRules(const RuleTable& table) {
  std::string text;
  for (const AdviceRule& rule : table.rules) {
    absl::StrAppend(&text, internal::ToAbsl(CauseName(rule.cause)), " ",
                    internal::ToAbsl(ActionName(rule.action)));
    if (rule.factor != 1) absl::StrAppend(&text, " factor=", FormatNumber(rule.factor));
    if (rule.most != 0) absl::StrAppend(&text, " most=", FormatNumber(rule.most));
    if (rule.add != 0) absl::StrAppend(&text, " add=", FormatNumber(rule.add));
    if (rule.min_use != 0) absl::StrAppend(&text, " min-use=", FormatNumber(rule.min_use));
    absl::StrAppend(&text, " min-confidence=", FormatNumber(rule.min_confidence),
                    " after=", rule.after, rule.meanwhile ? " meanwhile" : "",
                    " settle=", FormatTime(rule.settle_ns), " hold=", FormatTime(rule.hold_ns),
                    " cooldown=", FormatTime(rule.cooldown_ns), "\n");
  }
  for (const TenantRule& tenant : table.tenants) {
    absl::StrAppend(&text, "tenant ", tenant.application, " priority=", tenant.priority);
    for (std::size_t i = 0; i < kActions; ++i) {
      if (!tenant.budget[i]) continue;
      absl::StrAppend(&text, " ", internal::ToAbsl(ActionName(static_cast<Action>(i))), "=",
                      FormatNumber(*tenant.budget[i]));
    }
    text += "\n";
  }
  return text;
}

std::string_view DefaultRulesText() { return kDefaultText; }

const RuleTable& DefaultRules() {
  static const RuleTable* const table = new RuleTable(ParseRules(kDefaultText).value());
  return *table;
}

SEER_END_NAMESPACE
