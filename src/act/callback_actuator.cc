#include "seer/act/callback_actuator.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

// So that the same number gives the same text, and the text the same number.
std::string FormatValue(double value) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, result.ptr);
}

// A knob: "<action>|<service>|<instance>|<node>|<cgroup>", the names in hexadecimal.
std::string KnobOf(const ActionTarget& target, Action action) {
  return absl::StrCat(
      internal::ToAbsl(ActionName(action)), "|", absl::BytesToHexString(target.service), "|",
      absl::BytesToHexString(target.instance), "|", absl::BytesToHexString(target.node), "|",
      absl::BytesToHexString(target.cgroup));
}

bool IsHex(const std::string& text) {
  return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

class CallbackActuator final : public Actuator {
 public:
  explicit CallbackActuator(CallbackOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return options_.name; }
  bool Can(Action action) const override {
    return std::find(options_.actions.begin(), options_.actions.end(), action) !=
           options_.actions.end();
  }

  absl::StatusOr<ActionPlan> Plan(const Recommendation& r) override {
    const std::string knob = KnobOf(r.target, r.action);
    ActionPlan plan;
    SEER_ASSIGN_OR_RETURN(const std::string before, Read(knob));
    plan.to = r.to;
    if (r.action == Action::kReplicas || r.action == Action::kPoolSize) plan.to = std::floor(r.to);
    (void)std::from_chars(before.data(), before.data() + before.size(), plan.from);
    std::string after = FormatValue(plan.to);
    if (after != before) plan.changes.push_back({knob, before, std::move(after)});
    return plan;
  }

  absl::StatusOr<std::string> Read(const std::string& knob) override {
    ActionTarget target;
    SEER_ASSIGN_OR_RETURN(const Action action, Parse(knob, &target));
    absl::StatusOr<double> value = absl::UnknownError("read: nothing came back");
    try {
      value = options_.read(target, action);
    } catch (const std::exception& e) {
      return absl::UnknownError(absl::StrCat("read: ", e.what()));
    } catch (...) {
      return absl::UnknownError("read threw something that is no std::exception");
    }
    if (!value.ok()) return std::move(value).status();
    if (!std::isfinite(*value)) return absl::UnknownError("read: gave no finite number");
    return FormatValue(*value);
  }

  absl::Status Write(const std::string& knob, const std::string& text) override {
    ActionTarget target;
    SEER_ASSIGN_OR_RETURN(const Action action, Parse(knob, &target));
    double to = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), to);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size() || !std::isfinite(to)) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no number"));
    }
    try {
      return options_.write(target, action, to);
    } catch (const std::exception& e) {
      return absl::UnknownError(absl::StrCat("write: ", e.what()));
    } catch (...) {
      return absl::UnknownError("write threw something that is no std::exception");
    }
  }

 private:
  absl::StatusOr<Action> Parse(const std::string& knob, ActionTarget* target) const {
    const std::vector<std::string> parts = absl::StrSplit(knob, '|');
    if (parts.size() != 5 || !std::all_of(parts.begin() + 1, parts.end(), IsHex)) {
      return absl::InvalidArgumentError("knob: it is none of ours");
    }
    const std::optional<Action> action = ActionFromName(parts[0]);
    if (!action || !Can(*action)) return absl::InvalidArgumentError("knob: it is none of ours");
    target->service = absl::HexStringToBytes(parts[1]);
    target->instance = absl::HexStringToBytes(parts[2]);
    target->node = absl::HexStringToBytes(parts[3]);
    target->cgroup = absl::HexStringToBytes(parts[4]);
    for (const std::string& granted : options_.granted) {
      if (granted == "*" || granted == target->service) return *action;
    }
    return absl::PermissionDeniedError(
        absl::StrCat("target.service: '", target->service, "' was not granted: list it"));
  }

  const CallbackOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Actuator>> MakeCallbackActuator(const CallbackOptions& options) {
  if (options.name.empty() || options.name.find(' ') != std::string::npos) {
    return absl::InvalidArgumentError("name: give one without blanks");
  }
  if (options.actions.empty()) return absl::InvalidArgumentError("actions: name at least one");
  for (const Action action : options.actions) {
    if (action == Action::kReport || static_cast<std::size_t>(action) >= kActions) {
      return absl::InvalidArgumentError("actions: a report changes nothing: leave it out");
    }
  }
  if (!options.read || !options.write) {
    return absl::InvalidArgumentError("read, write: both are needed");
  }
  return std::unique_ptr<Actuator>(std::make_unique<CallbackActuator>(options));
}

SEER_END_NAMESPACE
