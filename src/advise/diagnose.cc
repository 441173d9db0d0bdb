#include "seer/advise/diagnose.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "advise/look.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using Verdict = StallAttribution::Verdict;

// Where a cause can hide that the kernel's own accounts tell. Cache and bandwidth need counters:
// an application is not cleared of them, but rather blamed with less confidence.
constexpr Resource kMustBeSeen[] = {Resource::kCpu, Resource::kMemoryCapacity, Resource::kStorage};

void AddEvidence(const StallAttribution& found, Diagnosis* diagnosis) {
  for (const StallRise& rise : found.rises()) {
    DiagnosisEvidence evidence;
    evidence.resource = rise.resource;
    evidence.signal =
        absl::StrCat(internal::ToAbsl(ResourceName(rise.resource)), " delay, us per request");
    evidence.value = rise.now_us;
    evidence.healthy = rise.healthy_us;
    diagnosis->evidence.push_back(std::move(evidence));
  }
}

// How much of what rose is the worst one's.
double Dominance(const StallAttribution& found) {
  double all = 0;
  for (const StallRise& rise : found.rises()) {
    if (rise.blamed) all += rise.rise_us;
  }
  return all > 0 ? found.worst().rise_us / all : 0;
}

bool SawEnough(const StallAttribution& found) {
  return std::none_of(std::begin(kMustBeSeen), std::end(kMustBeSeen), [&](Resource resource) {
    return found.unobserved[static_cast<std::size_t>(resource)];
  });
}

double ResourceConfidence(const StallAttribution& found, const HwReading& reading) {
  double confidence = Dominance(found);
  if (found.memory_merged) confidence *= 0.5;
  if (reading.instance[found.worst().resource].delay_us.quality == Quality::kScaled) {
    confidence *= 0.8;
  }
  return confidence;
}

}  // namespace

Diagnosis Diagnose(const ClassForecast& forecast, absl::Span<const InstanceEvidence> seen,
                   const DiagnoseOptions& options) {
  Diagnosis diagnosis;
  if (forecast.initiators.empty()) return diagnosis;
  const Initiator& first = forecast.initiators.front();
  const float culprit =
      std::isfinite(first.probability) ? std::clamp(first.probability, 0.0f, 1.0f) : 0.0f;
  diagnosis.confidence = culprit;
  if (first.is_load()) {
    if (culprit >= std::max(options.min_culprit, options.min_confidence)) {
      diagnosis.cause = Cause::kLoad;
    }
    return diagnosis;
  }
  diagnosis.culprit = first.service;
  if (culprit < options.min_culprit) return diagnosis;

  // The replica in which most rose speaks; it is named if it is the only one of several.
  StallAttribution worst;
  const InstanceEvidence* of_worst = nullptr;
  std::size_t sick = 0, healthy = 0, loaded = 0;
  bool all_seen = !seen.empty();
  for (const InstanceEvidence& evidence : seen) {
    if (evidence.baseline == nullptr) {
      all_seen = false;
      continue;
    }
    const StallAttribution found = internal::Look(evidence, options.rules);
    all_seen = all_seen && found.verdict != Verdict::kUndecided && SawEnough(found);
    sick += found.verdict == Verdict::kResource ? 1 : 0;
    healthy += found.verdict == Verdict::kNone ? 1 : 0;
    loaded += found.verdict == Verdict::kLoad ? 1 : 0;
    if (found.compared == 0) continue;
    const bool speaks = found.verdict == Verdict::kResource || found.verdict == Verdict::kLoad;
    const bool spoke = worst.verdict == Verdict::kResource || worst.verdict == Verdict::kLoad;
    if (of_worst == nullptr || (speaks && !spoke) ||
        (speaks == spoke && found.worst().rise_us > worst.worst().rise_us)) {
      worst = found;
      of_worst = &evidence;
    }
  }
  if (of_worst == nullptr) return diagnosis;
  AddEvidence(worst, &diagnosis);
  if (sick + loaded == 1 && (seen.size() == 1 || healthy > 0))
    diagnosis.instance = of_worst->instance;

  double confidence = culprit;
  Cause cause = Cause::kUndecided;
  switch (worst.verdict) {
    case Verdict::kResource:
      confidence *= ResourceConfidence(worst, of_worst->reading);
      cause = CauseOf(worst.worst().resource);
      break;
    case Verdict::kLoad:
      cause = Cause::kLoad;
      break;
    case Verdict::kNone:
      if (!all_seen) break;
      cause = Cause::kApplication;
      for (const Resource unseen : {Resource::kCache, Resource::kMemoryBandwidth}) {
        if (worst.unobserved[static_cast<std::size_t>(unseen)]) confidence *= 0.8;
      }
      break;
    case Verdict::kUndecided:
      break;
  }
  diagnosis.confidence = static_cast<float>(confidence);
  if (diagnosis.confidence >= options.min_confidence) diagnosis.cause = cause;
  return diagnosis;
}

SEER_END_NAMESPACE
