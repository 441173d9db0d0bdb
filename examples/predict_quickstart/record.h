// A recording of the toy shop, with its violations, as training wants it.
#pragma once

#include <vector>

#include "examples/predict_quickstart/shop.h"
#include "seer/core/clock.h"
#include "seer/predict/listen.h"
#include "seer/predict/predictor.h"
#include "seer/window/violations.h"

// A control plane that listens for a while and keeps what it hears; dataset/ would keep it in a
// file, and window/ would find out from traces who initiated each violation. Here the shop tells.
inline seer::LabelledRun Record(std::uint64_t seed, seer::Tick ticks) {
  Shop shop(seed);
  seer::ManualClock clock;
  seer::PredictorOptions options;
  options.clock = &clock;
  options.keep_ticks = static_cast<std::size_t>(ticks);
  auto listener = *seer::Predictor::Create(options);
  seer::LabelledRun run;
  seer::ViolationDetector violations;
  std::vector<seer::ClusterTick> recorded;
  if (!listener->Observe(shop.topology()).ok()) return run;
  for (seer::Tick tick = 1; tick <= ticks; ++tick) {
    clock.Set(options.merger.period.EndNs(tick) + 10 * Shop::kMs);
    if (!listener->Observe(shop.Tick(tick)).ok()) break;
    listener->TicksSince(tick - 1, &recorded);
    run.topology = *listener->topology();
    violations.Observe(recorded.back(), run.topology);
    for (const seer::Violation& open : violations.open()) {
      if (!run.violations.empty() && run.violations.back().start_ns == open.start_ns) continue;
      run.violations.push_back(open);
      const auto culprit = run.topology.FindService(shop.Culprit(tick));
      run.violations.back().culprit = culprit.value_or(seer::ServiceId());
      run.violations.back().initiation =
          culprit ? seer::Initiation::kService : seer::Initiation::kLoad;
    }
    for (const seer::Violation& over : violations.TakeFinished()) {
      run.violations.back().end_ns = over.end_ns;
    }
  }
  run.for_each_tick = [recorded](const auto& handle) {
    for (const seer::ClusterTick& tick : recorded) {
      if (absl::Status status = handle(tick); !status.ok()) return status;
    }
    return absl::OkStatus();
  };
  return run;
}
