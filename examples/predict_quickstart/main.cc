// Foresight in a hundred lines: record an application, train a model on what was recorded, load it,
// and let it watch.
//
//   examples/run predict-quickstart
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/predict_quickstart/record.h"
#include "examples/predict_quickstart/shop.h"
#include "seer/core/clock.h"
#include "seer/predict/predictor.h"
#include "seer/predict/tree_trainer.h"
#include "seer/window/violations.h"

int main() {
  const std::string path =
      (std::filesystem::temp_directory_path() / "predict-quickstart.model").string();
  // 1. Train. `seer train` does the same with recordings in files.
  seer::TreeTrainingOptions training;
  training.alarm.false_alarms_per_hour = 10;
  seer::TreeTrainingReport report;
  auto model = seer::TrainTrees({Record(1, 12'000), Record(2, 12'000)}, {Record(3, 9'000)},
                                training, &report);
  if (!model.ok() || !seer::SaveTreeModel(*model, path).ok()) {
    std::printf("%s\n", model.status().ToString().c_str());
    return 1;
  }
  std::printf("trained on %d violations; of %d others %d are foreseen\n",
              static_cast<int>(report.violations), static_cast<int>(report.alarm.violations),
              static_cast<int>(report.alarm.hits));

  // 2. Watch: what every control plane does.
  Shop shop(4);
  seer::ManualClock clock;  // simulated time; without it the system's
  seer::PredictorOptions options;
  options.clock = &clock;
  options.keep_ticks = 1;
  auto predictor = seer::Predictor::Load(path, options);
  std::filesystem::remove(path);
  if (!predictor.ok() || !(*predictor)->Observe(shop.topology()).ok()) return 1;
  seer::ViolationDetector violations;
  std::vector<seer::ClusterTick> newest;
  bool alarm = false, violation = false;
  for (seer::Tick tick = 1; tick <= 1800; ++tick) {
    clock.Set(options.merger.period.EndNs(tick) + 10 * Shop::kMs);
    if (!(*predictor)->Observe(shop.Tick(tick)).ok()) return 1;
    const seer::Forecast forecast = (*predictor)->Predict();
    const auto topology = (*predictor)->topology();
    if (forecast.alarm() && !alarm) {
      const seer::Initiator& first = forecast.classes[0].initiators[0];
      std::printf("%6.1f s  ALARM: %s is about to be slow (%s is at fault)\n",
                  static_cast<double>(tick) / 10,
                  first.is_load() ? "load" : topology->service(first.service).name.c_str(),
                  shop.Culprit(tick).c_str());
    }
    alarm = forecast.alarm();
    newest.clear();
    (*predictor)->TicksSince(tick - 1, &newest);
    violations.Observe(newest.back(), *topology);
    if (!violations.open().empty() && !violation) {
      std::printf("%6.1f s  violation: more than 1 %% of the requests take over 100 ms\n",
                  static_cast<double>(tick) / 10);
    }
    violation = !violations.open().empty();
  }
  return 0;
}
