// A control plane about the shop of support.h: a loop with clocks, a monitor and a host of its own.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "seer/advise/control_loop.h"
#include "tests/advise/support.h"
#include "tests/support/json.h"

namespace seer::testing {

inline constexpr std::int64_t kTickNs = 100 * kMsNs;

// A monitor whose instances wait as told; what it gives spans the time since its last reading.
class ShopMonitor final : public HwMonitor {
 public:
  explicit ShopMonitor(const ManualClock* steady) : steady_(steady) {}
  absl::Status Read(const HwTarget& target, HwReading* reading) override {
    asked.push_back(target.instance);
    if (on_read) on_read();
    if (!status.ok()) return status;
    const std::int64_t now = steady_->NowNs();
    std::int64_t& last = last_[target.instance.value()];
    const std::int64_t interval = last == 0 ? 0 : now - last;
    last = now;
    *reading = ReadingOf(stalls[target.instance.value()],
                         static_cast<std::uint64_t>(interval / kMsNs), interval);
    reading->target = target.instance;
    for (const Resource resource : kAllResources) {
      reading->node[resource].saturation = {node_saturation, Quality::kOk, Reason::kNone,
                                            Scope::kHost};
    }
    if (node_network_use >= 0) {
      reading->node[Resource::kNetwork].utilisation = {node_network_use, Quality::kOk,
                                                       Reason::kNone, Scope::kHost};
      reading->instance[Resource::kNetwork].utilisation =
          reading->node[Resource::kNetwork].utilisation;
    }
    return absl::OkStatus();
  }
  double node_saturation = 0;
  double node_network_use = -1;  // below 0: nobody knows
  std::map<std::uint32_t, Stalls> stalls;
  std::vector<InstanceId> asked;
  absl::Status status;
  std::function<void()> on_read;

 private:
  const ManualClock* steady_;
  std::map<std::uint32_t, std::int64_t> last_;
};

// A control plane about the shop, a thousand requests a second for each instance.
struct Plane {
  Plane() {
    rules.in_place = [this](const ActionTarget&, Action action) -> std::optional<InPlace> {
      if (action == Action::kReport) return std::nullopt;
      return InPlace{place, 1, 100};
    };
    options.shadow = false;
    options.monitor = [this](const Topology&, InstanceId) { return &monitor; };
    options.handled = [this](const Topology&, InstanceId) -> std::optional<std::uint64_t> {
      return static_cast<std::uint64_t>(steady.NowNs() / kMsNs);
    };
    options.act = [this](const Recommendation& r) {
      sent.push_back(r);
      return answer;
    };
    options.undo = [this](std::uint64_t id) {
      undone.push_back(id);
      return absl::OkStatus();
    };
    options.audit = [this](std::string_view line) { audit.emplace_back(line); };
    options.clock = &clock;
    options.steady = &steady;
    options.sample_ns = kSecondNs;
  }
  void Start() {
    advisor = RuleAdvisor::Create(rules).value();
    loop = ControlLoop::Create(nullptr, advisor.get(), options).value();
  }
  // A tick with these rows, after which time has passed.
  LoopTick Tick(std::vector<ClassForecast> rows = {}, std::int64_t age_ns = 0) {
    Forecast forecast;
    forecast.tick = forecast.period.TickAt(clock.NowNs() - age_ns) - 1;
    if (rows.empty()) rows = {shop.Row(shop.buy, shop.cart, 0.05f, false)};
    forecast.classes = std::move(rows);
    const LoopTick tick = loop->Tick(forecast, shop.topology);
    clock.Advance(kTickNs);
    steady.Advance(kTickNs);
    return tick;
  }
  void Learn() {
    for (int i = 0; i < 100; ++i) (void)Tick();
  }
  // Ticks in alarm until something was sent, at most so many; how many it took.
  int TicksUntilSent(int most = 50) {
    const std::size_t before = sent.size();
    for (int i = 1; i <= most; ++i) {
      (void)Tick({Alarm()});
      if (sent.size() > before) return i;
    }
    return most + 1;
  }
  ClassForecast Alarm() const { return shop.Row(shop.buy, shop.cart); }
  void Answer(ActionOutcome outcome, std::uint64_t id = 0) {
    ActionTaken taken;
    taken.recommendation_id = id == 0 ? sent.back().id : id;
    taken.outcome = outcome;
    loop->Report(taken);
  }
  std::size_t Lines(std::string_view event) const {
    std::size_t lines = 0;
    for (const std::string& line : audit) {
      const auto json = Json::Parse(line);
      EXPECT_TRUE(json) << line;
      if (json && (*json)["event"].text == event) ++lines;
    }
    return lines;
  }

  Shop shop;
  ManualClock clock{1'700'000'000 * kSecondNs};
  ManualClock steady{1'000 * kSecondNs};
  ShopMonitor monitor{&steady};
  RuleAdvisorOptions rules;
  ControlLoopOptions options;
  double place = 4;
  absl::Status answer;
  std::vector<Recommendation> sent;
  std::vector<std::uint64_t> undone;
  std::vector<std::string> audit;
  std::unique_ptr<RuleAdvisor> advisor;
  std::unique_ptr<ControlLoop> loop;
};

}  // namespace seer::testing
