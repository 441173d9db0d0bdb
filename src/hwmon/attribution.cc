#include "seer/hwmon/attribution.h"

#include <algorithm>
#include <utility>

#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE
namespace {

// The baseline's medians, looked up once for all readings that are held against them.
struct Healthy {
  explicit Healthy(const StallBaseline& baseline)
      : busy_us(baseline.BusyUs()), rate(baseline.RequestsPerSecond()) {
    for (std::size_t r = 0; r < kResources; ++r) {
      stall_us[r] = baseline.StallUs(static_cast<Resource>(r));
    }
  }
  std::array<HealthyValue, kResources> stall_us;
  HealthyValue busy_us, rate;
};

// Of the stall that a probe's slowdown suggests, what the instance itself feels: the part of its
// processor time that a request did not need before. By convention (monitor.h, probe_monitor.h) the
// delay is that time times the saturation.
double FeltByInstance(const HwReading& reading, const Healthy& all_well, double now_us) {
  const double share = reading.instance[Resource::kCache].saturation.value;
  const double busy = BusyUsPerRequest(reading);
  const HealthyValue& healthy = all_well.busy_us;
  if (!(share > 0) || busy <= 0 || !healthy.known()) return 0;
  const double run_us = now_us / share;
  const double more = std::max(0.0, 1 - healthy.median / busy);
  return std::min(now_us, run_us * more);
}

void AddSignal(const HwSignal& next, double total_weight, double next_weight, bool is_share,
               HwSignal* total) {
  if (!total->usable() || !next.usable()) {
    // What is missing in a part is missing in the whole.
    if (total->usable()) *total = next;
    return;
  }
  total->value = is_share ? (total->value * total_weight + next.value * next_weight) /
                                (total_weight + next_weight)
                          : total->value + next.value;
  if (next.quality < total->quality) {
    total->quality = next.quality;
    total->reason = next.reason;
  }
  total->scope = std::max(total->scope, next.scope);
}

// From what rose and is blamed.
void Decide(const HwReading& reading, const AttributionRules& rules, StallAttribution* found) {
  std::stable_sort(found->by_rise.begin(), found->by_rise.begin() + found->compared,
                   [](const StallRise& a, const StallRise& b) {
                     return a.blamed != b.blamed ? a.blamed : a.rise_us > b.rise_us;
                   });
  found->verdict = StallAttribution::Verdict::kNone;
  found->quota = found->memory_merged = false;
  if (!found->worst().blamed) return;
  found->verdict = StallAttribution::Verdict::kResource;
  const Resource worst = found->worst().resource;
  bool own_doing = worst == Resource::kNetwork || worst == Resource::kStorage;
  if (worst == Resource::kCpu) {
    found->quota = IsQuota(reading.instance[Resource::kCpu]);
    // Its own threads wait for each other: there is more to do, not less to do it with.
    const HwSignal& use = reading.instance[Resource::kCpu].utilisation;
    constexpr double kAllOfIt = 0.85;
    own_doing = use.usable() && use.value >= kAllOfIt;
  }
  if (own_doing && found->request_ratio >= rules.load_ratio) {
    found->verdict = StallAttribution::Verdict::kLoad;
  }
  found->memory_merged = worst == Resource::kCache &&
                         found->unobserved[static_cast<std::size_t>(Resource::kMemoryBandwidth)];
}

// What ran only part of the time may be missing in some readings: where most have it, they stand
// for all. Others that are missing stay so.
void Extrapolate(absl::Span<const HwReading> readings, std::size_t r, HwReading* total) {
  HwSignal* const to = &total->instance.by_resource[r].delay_us;
  if (to->usable()) return;
  double value = 0, seen_ns = 0, all_ns = 0, share = 0;
  for (const HwReading& reading : readings) {
    const auto ns = static_cast<double>(std::max<std::int64_t>(0, reading.interval_ns));
    const ResourceReading& from = reading.instance.by_resource[r];
    all_ns += ns;
    if (!from.delay_us.usable()) {
      if (from.delay_us.reason != Reason::kMultiplexed && ns > 0) return;
      continue;
    }
    value += from.delay_us.value;
    share += from.saturation.value * ns;
    seen_ns += ns;
  }
  if (2 * seen_ns <= all_ns) return;
  const Scope scope = to->scope;
  *to = {value * all_ns / seen_ns, Quality::kScaled, Reason::kMultiplexed, scope};
  total->instance.by_resource[r].saturation = {share / seen_ns, Quality::kScaled,
                                               Reason::kMultiplexed, scope};
}

StallAttribution AttributeTo(const HwReading& reading, const Healthy& all_well,
                             const AttributionRules& rules) {
  StallAttribution found;
  const bool enough =
      reading.interval_ns > 0 && reading.requests >= std::max<std::uint64_t>(1, rules.min_requests);
  const auto requests = static_cast<double>(std::max<std::uint64_t>(1, reading.requests));
  const double least = std::max(rules.min_rise_us, rules.min_rise_share * rules.healthy_latency_us);
  for (Resource resource : kAllResources) {
    const auto r = static_cast<std::size_t>(resource);
    const ResourceReading& signals = reading.instance[resource];
    const HealthyValue& healthy = all_well.stall_us[r];
    if (!enough || !signals.delay_us.usable() ||
        healthy.samples < std::max<std::uint32_t>(1, rules.min_samples)) {
      found.unobserved[r] = true;
      continue;
    }
    StallRise rise;
    rise.resource = resource;
    rise.now_us = signals.delay_us.value / requests;
    rise.healthy_us = healthy.median;
    rise.rise_us = std::max(0.0, rise.now_us - healthy.median);
    // A probe's slowdown has to be felt, too: two witnesses, of whom none need be as sure as one
    // alone.
    const bool by_probe = resource == Resource::kCache && signals.delay_us.scope == Scope::kHost;
    const double spreads = by_probe ? rules.min_probe_spreads : rules.min_rise_spreads;
    double felt_us = rise.rise_us, least_felt_us = 0;
    if (by_probe) {
      felt_us = FeltByInstance(reading, all_well, rise.now_us);
      least_felt_us = std::max({rules.min_felt_us, rules.min_rise_share * rules.healthy_latency_us,
                                rules.min_probe_spreads * all_well.busy_us.spread});
    }
    rise.blamed = rise.rise_us > 0 && felt_us > 0 && felt_us >= least_felt_us &&
                  rise.rise_us >= std::max(least, spreads * healthy.spread);
    rise.rise_us = std::min(rise.rise_us, felt_us);
    found.by_rise[found.compared++] = rise;
  }
  if (found.compared == 0) return found;

  const HealthyValue& rate = all_well.rate;
  if (rate.known() && rate.median > 0) {
    found.request_ratio = requests * 1e9 / static_cast<double>(reading.interval_ns) / rate.median;
  }
  Decide(reading, rules, &found);
  return found;
}

}  // namespace

void AddReading(const HwReading& reading, HwReading* total) {
  if (reading.interval_ns <= 0) return;
  if (total->interval_ns <= 0) {
    *total = reading;
    return;
  }
  const auto before = static_cast<double>(total->interval_ns);
  const auto next = static_cast<double>(reading.interval_ns);
  for (std::size_t i = 0; i < kResources; ++i) {
    for (const auto& [from, to] :
         {std::make_pair(&reading.instance.by_resource[i], &total->instance.by_resource[i]),
          std::make_pair(&reading.node.by_resource[i], &total->node.by_resource[i])}) {
      AddSignal(from->delay_us, before, next, false, &to->delay_us);
      AddSignal(from->utilisation, before, next, true, &to->utilisation);
      AddSignal(from->saturation, before, next, true, &to->saturation);
    }
  }
  total->end_ns = reading.end_ns;
  total->interval_ns += reading.interval_ns;
  total->requests += reading.requests;
}

StallAttribution Attribute(const HwReading& reading, const StallBaseline& baseline,
                           const AttributionRules& rules) {
  return AttributeTo(reading, Healthy(baseline), rules);
}

StallAttribution Attribute(absl::Span<const HwReading> readings, const StallBaseline& baseline,
                           const AttributionRules& rules) {
  HwReading total;
  for (const HwReading& reading : readings) AddReading(reading, &total);
  for (std::size_t r = 0; r < kResources; ++r) Extrapolate(readings, r, &total);
  const Healthy all_well(baseline);
  StallAttribution found = AttributeTo(total, all_well, rules);
  if (found.compared == 0) return found;
  AttributionRules of_one = rules;
  of_one.min_requests = 1;
  std::array<std::size_t, kResources> short_in = {};
  std::size_t looked = 0;
  for (const HwReading& reading : readings) {
    if (reading.interval_ns <= 0) continue;
    ++looked;
    HwReading one = reading;
    // None was served: all that was waited for is one's.
    one.requests = std::max<std::uint64_t>(1, one.requests);
    const StallAttribution of_reading = AttributeTo(one, all_well, of_one);
    for (const StallRise& rise : of_reading.rises()) {
      short_in[static_cast<std::size_t>(rise.resource)] += rise.blamed ? 1 : 0;
    }
  }
  // What a quota held back is no chance: it is the same in its next period.
  const bool quota = IsQuota(total.instance[Resource::kCpu]);
  for (std::size_t i = 0; i < found.compared; ++i) {
    StallRise& rise = found.by_rise[i];
    const bool lasts = 3 * short_in[static_cast<std::size_t>(rise.resource)] > looked ||
                       (quota && rise.resource == Resource::kCpu);
    rise.blamed = rise.blamed && lasts;
  }
  Decide(total, rules, &found);
  return found;
}

SEER_END_NAMESPACE
