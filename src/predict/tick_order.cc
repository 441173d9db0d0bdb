#include "predict/tick_order.h"

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE
namespace internal {

absl::Status TickOrder::Check(const ClusterTick& tick, const Topology& topology) const {
  if (!tick.period.Contains(tick.tick)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tick.tick: ", tick.tick, " ends after 2262 or before 1677: check the clock"));
  }
  const std::size_t services = topology.services().size();
  if (tick.services.size() > services || tick.edges.size() > topology.edges().size() ||
      tick.classes.size() > topology.classes().size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tick: has ", tick.services.size(), " services, ", tick.edges.size(), " edges and ",
        tick.classes.size(), " classes, the topology ", services, ", ", topology.edges().size(),
        " and ", topology.classes().size(), ": hand over the topology that numbers the tick"));
  }
  if (started_ && period_ == tick.period && epoch_ == topology.origin().epoch &&
      tick.tick <= last_) {
    return absl::InvalidArgumentError(absl::StrCat("tick.tick: ", tick.tick, " is not later than ",
                                                   last_, ": hand over ticks in order"));
  }
  return absl::OkStatus();
}

void TickOrder::Advance(const ClusterTick& tick, const Topology& topology) {
  started_ = true;
  last_ = tick.tick;
  period_ = tick.period;
  epoch_ = topology.origin().epoch;
  version_ = topology.version();
  services_ = topology.services().size();
  classes_ = topology.classes().size();
}

void TickOrder::State(StateIo& io) {
  std::int64_t period_ns = period_.ns();
  std::uint64_t services = services_, classes = classes_;
  io(started_), io(last_), io(period_ns), io(epoch_), io(version_), io(services), io(classes);
  if (!io.loading() || !io.ok()) return;
  const auto period = TickPeriod::FromNs(period_ns);
  io.Require(period.ok() && period->Contains(last_), "ticks: a period or a tick that cannot be");
  if (!io.ok()) return;
  RequireTime(io, period->EndNs(last_));
  period_ = *period;
  services_ = static_cast<std::size_t>(services);
  classes_ = static_cast<std::size_t>(classes);
}

}  // namespace internal
SEER_END_NAMESPACE
