#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "seer/advise/advisor.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

// Counted things, of which there are no parts.
bool IsWhole(Action action) {
  return action == Action::kReplicas || action == Action::kPoolSize ||
         action == Action::kCachePartition;
}

float LargestProbability(const ClassForecast& forecast) {
  float largest = 0;
  for (const HorizonProbability& row : forecast.horizons) {
    if (std::isfinite(row.probability)) largest = std::max(largest, row.probability);
  }
  return std::clamp(largest, 0.0f, 1.0f);
}

// How far away a violation may be: as far as the forecast looks that is sure of it.
double AheadSeconds(const ClassForecast& forecast) {
  double ahead = 0.5;
  for (const HorizonProbability& row : forecast.horizons) {
    if (row.probability >= 0.5f)
      ahead = std::max(ahead, static_cast<double>(row.horizon_ns) * 1e-9);
  }
  return std::min(ahead, 2.0);
}

// What one service may make a request wait, of its target: others need the rest, and the tail is
// several times the mean.
constexpr double kWaitOfTarget = 0.02;
// What was too little is raised so much at least.
constexpr double kRaise = 2;

// So much that there is room for all who wait, and that a request waits little.
double Needed(const Shortage& shortage, double limit, double target_us, double ahead_s) {
  double needed = LimitNeeded(shortage, limit, ahead_s);
  if (target_us > 0) {
    double later = 1;  // how many times as many wait then
    if (shortage.waiting > 0) {
      later += std::max(0.0, shortage.growth) * ahead_s / shortage.waiting;
    }
    needed = std::max(needed, limit * shortage.wait_us * later / (kWaitOfTarget * target_us));
  }
  return needed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RuleAdvisor>> RuleAdvisor::Create(
    const RuleAdvisorOptions& options) {
  if (options.rules.rules.empty()) {
    return absl::InvalidArgumentError("rules: the table has no rule: give one or more");
  }
  const bool reports_only =
      std::all_of(options.rules.rules.begin(), options.rules.rules.end(),
                  [](const AdviceRule& rule) { return rule.action == Action::kReport; });
  if (!options.in_place && !reports_only) {
    return absl::InvalidArgumentError(
        "in_place: needed to change anything: give a function that says what is in place");
  }
  return std::unique_ptr<RuleAdvisor>(new RuleAdvisor(options));
}

// The service's application, or where several share it, that of the class in danger.
std::string RuleAdvisor::TenantOf(const Topology& topology, const AdviceRequest& request) const {
  const ServiceId culprit = request.diagnosis->culprit;
  if (topology.Has(culprit) && !topology.service(culprit).application.empty()) {
    return topology.service(culprit).application;
  }
  const ClassId id = request.forecast->request_class;
  return topology.Has(id) ? topology.request_class(id).application : std::string();
}

std::uint32_t RuleAdvisor::Priority(const Topology& topology, ClassId request_class) const {
  if (!topology.Has(request_class)) return 0;
  return options_.rules.Tenant(topology.request_class(request_class).application).priority;
}

double RuleAdvisor::InForce(const std::string& application, Action action,
                            std::uint64_t without) const {
  double sum = 0;
  for (const Spent& spent : spent_) {
    if (without != 0 && spent.id == without) continue;
    if (spent.application == application && spent.action == action) sum += spent.amount;
  }
  return sum;
}

std::optional<Recommendation> RuleAdvisor::Advise(const AdviceRequest& request) {
  spent_.erase(std::remove_if(spent_.begin(), spent_.end(),
                              [&](const Spent& s) { return s.expires_ns <= request.now_ns; }),
               spent_.end());
  last_replaces_ = request.in_force != nullptr ? request.in_force->id : 0;
  if (request.diagnosis->cause == Cause::kUndecided) return std::nullopt;
  if (request.in_force != nullptr) {
    for (const AdviceRule& rule : options_.rules.rules) {
      // What is counted is not raised before its effect can be there.
      if (rule.cause != request.diagnosis->cause || rule.action != request.in_force->action ||
          rule.meanwhile != request.meanwhile || rule.add > 0) {
        continue;
      }
      return Try(request, rule);
    }
    return std::nullopt;
  }
  constexpr std::uint32_t kMostAfter = 100;
  const std::uint32_t failed = std::min(request.failed_before, kMostAfter);
  std::optional<Recommendation> advice;
  const auto ask = [&](std::uint32_t after) {
    for (const AdviceRule& rule : options_.rules.rules) {
      if (rule.cause != request.diagnosis->cause || rule.after != after ||
          rule.meanwhile != request.meanwhile ||
          static_cast<double>(request.diagnosis->confidence) < rule.min_confidence) {
        continue;
      }
      if (after > failed && rule.action == Action::kRateLimit) continue;  // the last resort
      advice = Try(request, rule);
      if (advice) return true;
    }
    return false;
  };
  // The last rules are for when the earlier ones did not help: those that fit best come first.
  std::optional<Recommendation> report;
  for (std::uint32_t after = failed + 1; after-- > 0;) {
    if (!ask(after)) continue;
    if (failed == 0 || advice->action != Action::kReport) return advice;
    report = std::move(advice);
  }
  // None can apply here, or nothing but a report: as if it had been tried.
  for (std::uint32_t after = failed + 1; after <= kMostAfter; ++after) {
    if (ask(after)) return advice;
  }
  return report;
}

std::optional<Recommendation> RuleAdvisor::Try(const AdviceRequest& request,
                                               const AdviceRule& rule) {
  const Topology& topology = *request.topology;
  const Diagnosis& diagnosis = *request.diagnosis;
  const ClassId class_id = request.forecast->request_class;
  const double target_us =
      topology.Has(class_id)
          ? static_cast<double>(topology.request_class(class_id).target.latency_ns) / 1000
          : 0;
  // Requests wait long though there is enough of it. A little they wait on a link that gets slow
  // before it is full.
  const bool is_idle = request.shortage.used_known && request.shortage.used < rule.min_use &&
                       target_us > 0 && request.shortage.wait_us >= kWaitOfTarget * target_us;
  if (is_idle && request.in_force == nullptr) return std::nullopt;
  Recommendation r;
  r.issued_ns = request.now_ns;
  r.cause = diagnosis.cause;
  r.confidence = diagnosis.confidence;
  r.action = rule.action;
  r.settle_ns = rule.settle_ns;
  r.expires_ns = request.now_ns + rule.hold_ns;

  // Load has no culprit: what is acted upon is where the requests come in.
  ServiceId service = diagnosis.culprit;
  if (!service.valid() && topology.Has(class_id)) service = topology.request_class(class_id).entry;
  if (!topology.IsLive(service)) return std::nullopt;
  r.target.service = topology.service(service).name;
  if (topology.IsLive(diagnosis.instance)) {
    const Instance& instance = topology.instance(diagnosis.instance);
    r.target.instance = instance.name;
    r.target.cgroup = instance.cgroup;
    if (topology.Has(instance.node)) r.target.node = topology.node(instance.node).name;
  }
  const float probability = LargestProbability(*request.forecast);
  std::string class_name = "requests";
  if (topology.Has(class_id)) {
    const RequestClass& row = topology.request_class(class_id);
    class_name = row.name;
    r.expected_metric = absl::StrCat("P(violation) of ", class_name);
  }
  r.expected_from = static_cast<double>(probability);
  r.expected_to = 0;
  r.reason = absl::StrCat(
      "a violation of ", class_name, " is foreseen (P ", probability, "), ", r.target.service,
      request.beside ? " suffers on the culprit's node, cause " : " would initiate it, cause ",
      internal::ToAbsl(CauseName(diagnosis.cause)), " (confidence ", diagnosis.confidence, ")");
  last_application_ = TenantOf(topology, request);
  if (rule.action == Action::kReport) return r;

  const std::optional<InPlace> place = options_.in_place(r.target, rule.action);
  if (!place || !std::isfinite(place->value) || !std::isfinite(place->lower) ||
      !std::isfinite(place->upper) || place->value < place->lower || place->value > place->upper) {
    return std::nullopt;
  }
  // What was there before anything was done.
  const double first =
      request.in_force != nullptr ? request.in_force->undo.value_or(place->value) : place->value;
  double to = place->value + rule.add;
  if (rule.add <= 0) {
    // As much of the way as the forecast is sure of, and at least half.
    const double sureness = std::max(0.5, static_cast<double>(probability));
    to = first * (1 + (rule.factor - 1) * sureness);
    if (rule.most > rule.factor) {
      const double needed =
          Needed(request.shortage, place->value, target_us, AheadSeconds(*request.forecast));
      if (request.in_force != nullptr) to = std::max(to, kRaise * place->value);
      to = std::min(std::max(needed, to), first * rule.most);
    }
  }
  const std::optional<double> budget =
      options_.rules.Tenant(last_application_).budget[static_cast<std::size_t>(rule.action)];
  double most = place->upper;
  if (budget) {
    most =
        std::min(most, first + *budget - InForce(last_application_, rule.action, last_replaces_));
  }
  if (to > place->value && most <= place->value) return std::nullopt;  // nothing is left of it
  to = std::clamp(to, place->lower, std::max(most, place->lower));
  if (IsWhole(rule.action)) {
    // Upwards, unless that leaves the bounds: part of a way does not help.
    to = std::ceil(to - 1e-9);
    if (to > most) to = std::floor(most + 1e-9);
  }
  // A change of less than a hundredth is not worth its risk.
  if (!(std::abs(to - place->value) > 0.01 * std::abs(place->value))) return std::nullopt;
  r.from = place->value;
  r.to = to;
  r.lower = place->lower;
  r.upper = place->upper;
  r.precondition = place->value;
  r.undo = first;
  return r;
}

void RuleAdvisor::Issued(const Recommendation& r) {
  if (r.action == Action::kReport) return;
  if (last_replaces_ != 0) {
    spent_.erase(std::remove_if(spent_.begin(), spent_.end(),
                                [&](const Spent& s) { return s.id == last_replaces_; }),
                 spent_.end());
    last_replaces_ = 0;
  }
  constexpr std::size_t kMaxSpent = 4096;
  if (spent_.size() >= kMaxSpent) spent_.erase(spent_.begin());
  for (Spent& spent : spent_) {
    if (spent.id != r.id) continue;
    spent.expires_ns = r.expires_ns;  // renewed
    return;
  }
  spent_.push_back({r.id, last_application_, r.action,
                    std::max(0.0, r.to - r.undo.value_or(r.from)), r.expires_ns});
}

void RuleAdvisor::Note(const ActionTaken& taken) {
  if (taken.outcome == ActionOutcome::kApplied || taken.outcome == ActionOutcome::kUnchanged)
    return;
  spent_.erase(std::remove_if(spent_.begin(), spent_.end(),
                              [&](const Spent& s) { return s.id == taken.recommendation_id; }),
               spent_.end());
}

std::int64_t RuleAdvisor::CooldownNs(const Recommendation& r) const {
  for (const AdviceRule& rule : options_.rules.rules) {
    if (rule.cause == r.cause && rule.action == r.action) return rule.cooldown_ns;
  }
  return AdviceRule().cooldown_ns;
}

SEER_END_NAMESPACE
