#include "benchmarks/hwmon/trial_record.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "seer/hwmon/attribution.h"

namespace seer::bench {
namespace {

template <typename Visit>
void ForEachSignal(HwReading* reading, const Visit& visit) {
  for (ResourceReadings* side : {&reading->instance, &reading->node}) {
    for (ResourceReading& resource : side->by_resource) {
      for (HwSignal* s : {&resource.delay_us, &resource.utilisation, &resource.saturation}) {
        visit(s);
      }
    }
  }
}

void WriteReading(HwReading reading, char phase, const std::string& detail, std::ostream* out) {
  *out << "reading," << phase << "," << reading.interval_ns << "," << reading.requests;
  ForEachSignal(&reading, [&](HwSignal* s) {
    *out << "," << s->value << ":" << static_cast<int>(s->quality) << ":"
         << static_cast<int>(s->reason) << ":" << static_cast<int>(s->scope);
  });
  if (!detail.empty()) *out << "," << detail;
  *out << "\n";
}

bool ReadReading(std::istream* words, HwReading* reading) {
  std::string word;
  const auto number = [&] {
    std::getline(*words, word, ',');
    return std::atof(word.c_str());
  };
  reading->interval_ns = std::llround(number());
  reading->requests = static_cast<std::uint64_t>(number());
  bool ok = true;
  ForEachSignal(reading, [&](HwSignal* s) {
    int quality = -1, reason = -1, scope = -1;
    if (!std::getline(*words, word, ',') ||
        std::sscanf(word.c_str(), "%lf:%d:%d:%d", &s->value, &quality, &reason, &scope) != 4 ||
        quality < 0 || quality >= static_cast<int>(kQualities) || reason < 0 ||
        reason >= static_cast<int>(kReasons) || scope < 0 || scope >= static_cast<int>(kScopes)) {
      ok = false;
      return;
    }
    s->quality = static_cast<Quality>(quality);
    s->reason = static_cast<Reason>(reason);
    s->scope = static_cast<Scope>(scope);
  });
  return ok;
}

int Say(const StallAttribution& found) {
  switch (found.verdict) {
    case StallAttribution::Verdict::kUndecided:
      return kUndecided;
    case StallAttribution::Verdict::kNone:
    case StallAttribution::Verdict::kLoad:
      return static_cast<int>(Truth::kNone);
    case StallAttribution::Verdict::kResource:
      break;
  }
  switch (found.worst().resource) {
    case Resource::kCpu:
      return static_cast<int>(found.quota ? Truth::kQuota : Truth::kCpu);
    case Resource::kCache:
    case Resource::kMemoryBandwidth:
      return static_cast<int>(Truth::kMemory);
    case Resource::kMemoryCapacity:
      return static_cast<int>(Truth::kMemoryCapacity);
    case Resource::kNetwork:
      return static_cast<int>(Truth::kNetwork);
    case Resource::kStorage:
      break;
  }
  return static_cast<int>(Truth::kDisk);
}

std::string Evidence(const StallAttribution& found) {
  std::ostringstream text;
  for (const StallRise& rise : found.rises()) {
    text << ResourceName(rise.resource) << " " << std::lround(rise.healthy_us) << "->"
         << std::lround(rise.now_us) << (rise.blamed ? "! " : " ");
  }
  if (found.verdict == StallAttribution::Verdict::kLoad) text << "load ";
  return text.str();
}

}  // namespace

void Write(const TrialRecord& record, std::ostream* out) {
  const Trial& t = record.trial;
  *out << std::setprecision(10) << "trial," << ProfileName(t.profile) << "," << TruthName(t.truth)
       << "," << (record.scored ? 1 : 0) << "," << t.foreign << "," << t.healthy_p50_us << ","
       << t.healthy_p95_us << "," << t.p50_us << "," << t.p95_us << "," << record.healthy_requests
       << "\n";
  std::size_t i = 0;
  const auto detail = [&] { return i < record.details.size() ? record.details[i++] : ""; };
  for (const HwReading& reading : record.healthy) WriteReading(reading, 'h', detail(), out);
  for (const HwReading& reading : record.contended) WriteReading(reading, 'c', detail(), out);
  out->flush();
}

std::vector<TrialRecord> ReadRecords(const std::string& path, std::string* error) {
  std::vector<TrialRecord> records;
  std::ifstream file(path);
  if (!file) *error = path + ": cannot be read";
  std::string line;
  for (int number = 1; error->empty() && std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string kind, word;
    std::getline(words, kind, ',');
    const auto next = [&] {
      std::getline(words, word, ',');
      return word;
    };
    bool ok = false;
    if (kind == "trial") {
      TrialRecord record;
      Trial& t = record.trial;
      const std::string profile = next(), truth = next();
      for (int p = 0; p < kProfiles; ++p) {
        if (profile == ProfileName(static_cast<Profile>(p))) t.profile = static_cast<Profile>(p);
      }
      for (int i = 0; i < kTruths; ++i) {
        if (truth == TruthName(static_cast<Truth>(i))) t.truth = static_cast<Truth>(i);
      }
      ok = profile == ProfileName(t.profile) && truth == TruthName(t.truth);
      record.scored = next() == "1";
      for (double* value :
           {&t.foreign, &t.healthy_p50_us, &t.healthy_p95_us, &t.p50_us, &t.p95_us}) {
        *value = std::atof(next().c_str());
      }
      record.healthy_requests = static_cast<std::size_t>(std::atof(next().c_str()));
      records.push_back(std::move(record));
    } else if (kind == "reading" && !records.empty()) {
      const std::string phase = next();
      auto& to = phase == "h" ? records.back().healthy : records.back().contended;
      to.emplace_back();
      ok = (phase == "h" || phase == "c") && ReadReading(&words, &to.back());
    }
    if (!ok) *error = path + ": line " + std::to_string(number) + " is no record of a trial";
  }
  return records;
}

Trial Judge(const TrialRecord& record, Baselines* baselines) {
  Trial trial = record.trial;
  StallBaseline& baseline = (*baselines)[static_cast<std::size_t>(trial.profile)];
  for (const HwReading& reading : record.healthy) baseline.Learn(reading);
  // As it has to be to count, whatever the rules are.
  constexpr std::size_t kFewest = 20;
  trial.degraded = record.trial.p50_us <= 0 || trial.p95_us > 1.5 * trial.healthy_p95_us ||
                   trial.p50_us > 1.3 * trial.healthy_p50_us;
  // Memory that is slow makes the victim's own work take longer; where it does not, something else
  // degraded it.
  if (trial.truth == Truth::kMemory) {
    HwReading before, after;
    for (const HwReading& reading : record.healthy) AddReading(reading, &before);
    for (const HwReading& reading : record.contended) AddReading(reading, &after);
    constexpr double kFelt = 1.15;
    trial.degraded = trial.degraded && BusyUsPerRequest(after) > kFelt * BusyUsPerRequest(before);
  }
  trial.discarded = trial.foreign > kForeignLimit || record.healthy_requests < kFewest;

  AttributionRules rules;
  rules.healthy_latency_us = trial.healthy_p50_us;
  // The same without the probe.
  std::vector<HwReading> software = record.contended;
  for (HwReading& reading : software) {
    reading.instance[Resource::kCache] = ResourceReading();
    reading.instance[Resource::kMemoryBandwidth] = ResourceReading();
  }
  for (std::size_t look = 0; look < kLooks.size(); ++look) {
    const auto ticks =
        std::min(record.contended.size(), static_cast<std::size_t>(std::lround(kLooks[look] * 10)));
    const StallAttribution found =
        Attribute(absl::MakeSpan(record.contended.data(), ticks), baseline, rules);
    trial.said[look] = Say(found);
    trial.evidence = Evidence(found);
    trial.software_said = Say(Attribute(absl::MakeSpan(software.data(), ticks), baseline, rules));
  }
  return trial;
}

}  // namespace seer::bench
