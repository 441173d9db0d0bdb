// diagnose_trials FILE: live trials of hwmon (hwmon_trials --record FILE) as a control loop would
// diagnose them, with its own rules, baselines and confidence: what of hwmon's accuracy holds
// through Diagnose(). Needs nothing but the file.
//
// The forecast names the victim, as one that is right would. That a quota is what is short of the
// processor no diagnosis says: the action is the same.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/hwmon/trial_record.h"
#include "seer/advise/diagnose.h"

namespace seer::bench {
namespace {

int Said(Cause cause, Truth truth) {
  switch (cause) {
    case Cause::kCpu:
      return static_cast<int>(truth == Truth::kQuota ? Truth::kQuota : Truth::kCpu);
    case Cause::kCache:
    case Cause::kMemoryBandwidth:
      return static_cast<int>(Truth::kMemory);
    case Cause::kMemoryCapacity:
      return static_cast<int>(Truth::kMemoryCapacity);
    case Cause::kNetwork:
      return static_cast<int>(Truth::kNetwork);
    case Cause::kStorage:
      return static_cast<int>(Truth::kDisk);
    case Cause::kApplication:
    case Cause::kLoad:
      return static_cast<int>(Truth::kNone);
    case Cause::kUndecided:
      break;
  }
  return kUndecided;
}

Trial DiagnoseOne(const TrialRecord& record, Baselines* baselines) {
  Trial trial = Judge(record, baselines);  // learns, and says what counts
  const ServiceId victim(0);
  ClassForecast row;
  row.request_class = ClassId(0);
  row.initiators = {{victim, 1.0f}};
  row.alarm = true;
  for (std::size_t look = 0; look < kLooks.size(); ++look) {
    const auto ticks =
        std::min(record.contended.size(), static_cast<std::size_t>(std::lround(kLooks[look] * 10)));
    InstanceEvidence seen;
    seen.instance = InstanceId(0);
    seen.baseline = &(*baselines)[static_cast<std::size_t>(trial.profile)];
    seen.parts.assign(record.contended.begin(),
                      record.contended.begin() + static_cast<std::ptrdiff_t>(ticks));
    for (const HwReading& part : seen.parts) AddReading(part, &seen.reading);
    const Diagnosis diagnosis = Diagnose(row, absl::MakeConstSpan(&seen, 1));
    trial.said[look] = Said(diagnosis.cause, trial.truth);
  }
  return trial;
}

int Main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("diagnose_trials FILE\n", stderr);
    return 2;
  }
  std::string error;
  const std::vector<TrialRecord> records = ReadRecords(argv[1], &error);
  if (!error.empty()) {
    std::fprintf(stderr, "diagnose_trials: %s\n", error.c_str());
    return 1;
  }
  Baselines baselines;
  std::vector<Trial> trials;
  for (const TrialRecord& record : records) {
    const Trial trial = DiagnoseOne(record, &baselines);
    if (record.scored) trials.push_back(trial);
  }
  std::printf("%s", Table(Score(trials)).c_str());
  return 0;
}

}  // namespace
}  // namespace seer::bench

int main(int argc, char** argv) { return seer::bench::Main(argc, argv); }
