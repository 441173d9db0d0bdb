// Flow: Diagnosis -> [Advisor] -> Recommendation
//
// What to do about a diagnosis. RuleAdvisor follows a table that people read (rules.h); a host with
// a policy of its own writes an Advisor.
//
//   seer::RuleAdvisorOptions options;
//   options.in_place = [&](const seer::ActionTarget& target, seer::Action action) {
//     return inventory.Limit(target, action);          // std::optional<InPlace>: value and bounds
//   };
//   auto advisor = seer::RuleAdvisor::Create(options);  // StatusOr
//   std::optional<seer::Recommendation> advice = (*advisor)->Advise(request);
//
// How far: as far as the readings say is short (shortage.h), for as long ahead as the forecast
// looks, at least the rule's factor and at most its `most`; twice as far as before where that was
// too little.
//
// A recommendation carries the value that the host said is in place as `from` and as precondition,
// so that it is void once somebody has moved it. It never leaves the host's bounds, nor the
// tenant's budget: where the budget leaves less, it recommends less, and nothing if nothing is
// left. What is in force counts against the budget until it ends: hand every ActionTaken to Note(),
// or else until it expires by itself.
//
// Threads: one at a time. Cost: 1 us, and the host's `in_place`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/advise/rules.h"
#include "seer/advise/shortage.h"
#include "seer/core/action_taken.h"
#include "seer/core/config.h"
#include "seer/core/diagnosis.h"
#include "seer/core/forecast.h"
#include "seer/core/recommendation.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

struct AdviceRequest {
  const Diagnosis* diagnosis = nullptr;
  const ClassForecast* forecast = nullptr;  // of the class that is in danger
  const Topology* topology = nullptr;       // what their ids mean
  std::int64_t now_ns = 0;                  // unix time
  std::uint32_t failed_before = 0;          // actions on this service that did not help
  Shortage shortage;                        // of the blamed resource, where it was read
  // An action that is in force and gave too little: more of the same is asked for. Null: none is.
  const Recommendation* in_force = nullptr;
  bool beside = false;  // it is not the culprit, but short of the same on its node
  // Something is being done about the cause, and requests wait for processors besides: `shortage`
  // is of these, and rules that say so are asked (rules.h).
  bool meanwhile = false;
};

class Advisor {
 public:
  virtual ~Advisor() = default;
  // None: nothing that is worth doing. The id is the caller's to fill in.
  virtual std::optional<Recommendation> Advise(const AdviceRequest& request) = 0;
  // What became of one. Those with an id that is not known are ignored.
  virtual void Note(const ActionTaken& taken) = 0;
  // The recommendation is being carried out under this id.
  virtual void Issued(const Recommendation& recommendation) = 0;
  // After the end of an action, until the service is acted upon again.
  virtual std::int64_t CooldownNs(const Recommendation& recommendation) const = 0;
  // Of the class's tenant: larger comes first.
  virtual std::uint32_t Priority(const Topology& topology, ClassId request_class) const = 0;

 protected:
  Advisor() = default;
  Advisor(const Advisor&) = delete;
  Advisor& operator=(const Advisor&) = delete;
};

// What a host knows of a limit: nothing outside [lower, upper] will be recommended.
struct InPlace {
  double value = 0;
  double lower = 0;
  double upper = 0;
};

struct RuleAdvisorOptions {
  RuleTable rules = DefaultRules();
  // None: the action cannot be had for this target. Not called for reports.
  std::function<std::optional<InPlace>(const ActionTarget& target, Action action)> in_place;
};

class RuleAdvisor final : public Advisor {
 public:
  // InvalidArgument: no `in_place`, or rules of which none can ever apply.
  static absl::StatusOr<std::unique_ptr<RuleAdvisor>> Create(const RuleAdvisorOptions& options);

  std::optional<Recommendation> Advise(const AdviceRequest& request) override;
  void Note(const ActionTaken& taken) override;
  void Issued(const Recommendation& recommendation) override;
  std::int64_t CooldownNs(const Recommendation& recommendation) const override;
  std::uint32_t Priority(const Topology& topology, ClassId request_class) const override;

  // Of a tenant's budget: what is in force beyond what was there before.
  double InForce(const std::string& application, Action action) const {
    return InForce(application, action, 0);
  }

 private:
  double InForce(const std::string& application, Action action, std::uint64_t without) const;
  struct Spent {
    std::uint64_t id = 0;
    std::string application;
    Action action = Action::kReport;
    double amount = 0;
    std::int64_t expires_ns = 0;
  };
  explicit RuleAdvisor(const RuleAdvisorOptions& options) : options_(options) {}
  std::optional<Recommendation> Try(const AdviceRequest& request, const AdviceRule& rule);
  std::string TenantOf(const Topology& topology, const AdviceRequest& request) const;

  const RuleAdvisorOptions options_;
  std::vector<Spent> spent_;
  // Of what Advise() gave last, for Issued().
  std::string last_application_;
  std::uint64_t last_replaces_ = 0;
};

SEER_END_NAMESPACE
