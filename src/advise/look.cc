#include "advise/look.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

SEER_BEGIN_NAMESPACE
namespace {

using Verdict = StallAttribution::Verdict;

// What is held on the processor longer makes others wait for a processor, too.
constexpr Resource kHeldOnCpu[] = {Resource::kCache, Resource::kMemoryBandwidth,
                                   Resource::kMemoryCapacity};
constexpr double kAllInUse = 0.8;       // of an instance's processors: they wait for each other
constexpr double kRootOfWaiting = 0.1;  // of the waiting, at least, for what is behind it
// So much of it is behind the waiting even where part of the reading is of before.
constexpr double kClearRoot = 0.3;
constexpr double kPartInUse = 0.4;
// A request holds processors so many times as long as when all is well: where requests wait for
// memory, that is why, however long the queue for processors has become by then.
constexpr double kHeldLonger = 2;
// So much waiting is clear, were it shared among as many requests as a reading has to have.
constexpr double kClearUs = 500;
constexpr double kSpreadsOfChance = 3;

// What was short in few readings is not blamed (attribution.h), where a reading tells something at
// all: those with few requests are put together with the next.
StallAttribution AttributeParts(const InstanceEvidence& evidence, const AttributionRules& rules) {
  constexpr std::size_t kToCompare = 3;
  std::vector<HwReading> parts;
  for (const HwReading& part : evidence.parts) {
    if (parts.empty() || parts.back().requests >= rules.min_requests) {
      parts.push_back(part);
    } else {
      AddReading(part, &parts.back());
    }
  }
  const bool tells = parts.size() >= kToCompare || parts.size() == evidence.parts.size();
  return tells && !parts.empty() ? Attribute(parts, *evidence.baseline, rules)
                                 : Attribute(evidence.reading, *evidence.baseline, rules);
}

// Fewer requests than can tell. Where more are usual it hangs, and what there is to see is held
// against as many as usual; where they are not, only what is clear counts.
StallAttribution AttributeFew(const InstanceEvidence& evidence, const AttributionRules& rules) {
  const HwReading& reading = evidence.reading;
  const HealthyValue rate = evidence.baseline->RequestsPerSecond();
  const double usual =
      rate.known() ? rate.median * static_cast<double>(reading.interval_ns) * 1e-9 : 0;
  const auto least = static_cast<double>(rules.min_requests);
  const double as_many = std::max(usual, least);
  HwReading as_usual = reading;
  as_usual.requests = static_cast<std::uint64_t>(std::ceil(as_many));
  StallAttribution found = Attribute(as_usual, *evidence.baseline, rules);
  if (found.compared == 0 || usual >= least) return found;
  const bool clear = found.verdict == Verdict::kResource && found.worst().rise_us >= kClearUs;
  if (!clear) found.verdict = Verdict::kUndecided;
  return found;
}

// Who waits for a processor because others hold it longer than they should.
void BlameWhatHoldsTheProcessor(const InstanceEvidence& evidence, StallAttribution* found) {
  // Of late: it may have been well before.
  const HwReading& reading = evidence.parts.empty() ? evidence.reading : evidence.parts.back();
  const HwSignal& use = reading.instance[Resource::kCpu].utilisation;
  if (found->verdict != Verdict::kResource || found->worst().resource != Resource::kCpu ||
      !use.usable() || use.value < kPartInUse) {
    return;
  }
  const double waiting = found->worst().rise_us;
  const double least = use.value < kAllInUse ? kClearRoot : kRootOfWaiting;
  const HealthyValue usual = evidence.baseline->BusyUs();
  const bool held_longer = usual.known() && usual.median > 0 &&
                           BusyUsPerRequest(evidence.reading) >= kHeldLonger * usual.median;
  const double enough = held_longer ? 0 : least * waiting;
  for (std::size_t i = 1; i < found->compared; ++i) {  // the largest first
    const StallRise& rise = found->by_rise[i];
    if (!rise.blamed || rise.rise_us < enough) return;
    if (std::find(std::begin(kHeldOnCpu), std::end(kHeldOnCpu), rise.resource) ==
        std::end(kHeldOnCpu)) {
      continue;
    }
    found->by_rise[0].blamed = false;
    std::rotate(found->by_rise.begin(), found->by_rise.begin() + static_cast<std::ptrdiff_t>(i),
                found->by_rise.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return;
  }
}

}  // namespace

AttributionRules internal::RulesFor(const StallBaseline& baseline, const AttributionRules& rules) {
  AttributionRules own = rules;
  if (own.healthy_latency_us > 0) return own;
  own.healthy_latency_us = baseline.BusyUs().median;
  for (const Resource resource : kAllResources) {
    own.healthy_latency_us += baseline.StallUs(resource).median;
  }
  return own;
}

StallAttribution internal::Look(const InstanceEvidence& evidence, const AttributionRules& of_all) {
  const AttributionRules rules = RulesFor(*evidence.baseline, of_all);
  const HwReading& reading = evidence.reading;
  if (reading.interval_ns > 0 && reading.requests < rules.min_requests) {
    StallAttribution few = AttributeFew(evidence, rules);
    BlameWhatHoldsTheProcessor(evidence, &few);
    return few;
  }
  StallAttribution found = AttributeParts(evidence, rules);
  if (found.verdict == Verdict::kLoad && found.request_ratio > 0) {
    // That a few more come now and then is chance.
    const auto came = static_cast<double>(reading.requests);
    const double usual = came / found.request_ratio;
    if (came - usual < kSpreadsOfChance * std::sqrt(usual)) found.verdict = Verdict::kResource;
  }
  BlameWhatHoldsTheProcessor(evidence, &found);
  return found;
}

SEER_END_NAMESPACE
