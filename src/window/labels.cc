#include "seer/window/labels.h"

#include <algorithm>

SEER_BEGIN_NAMESPACE

void LabelTicks(const LabelRange& range, absl::Span<const Violation> violations,
                absl::Span<const std::int64_t> horizons_ns, ClassId request_class,
                std::vector<TickLabel>* labels) {
  horizons_ns = horizons_ns.subspan(0, std::min(horizons_ns.size(), kMaxHorizons));
  labels->assign(range.ticks, TickLabel());
  const std::int64_t known_until_ns =
      range.known_until_ns != 0
          ? range.known_until_ns
          : range.period.EndNs(range.first + static_cast<Tick>(range.ticks) - 1);
  std::int64_t farthest_ns = 0;
  for (const std::int64_t horizon : horizons_ns) farthest_ns = std::max(farthest_ns, horizon);

  const auto counts = [&](const Violation& violation) {
    return !request_class.valid() || violation.request_class == request_class;
  };
  std::size_t next = 0;            // the first that starts after now
  std::int64_t busy_until_ns = 0;  // the latest end of those that have started
  bool any_started = false;
  for (std::size_t i = 0; i < range.ticks; ++i) {
    TickLabel& label = (*labels)[i];
    label.tick = range.first + static_cast<Tick>(i);
    const std::int64_t now_ns = range.period.EndNs(label.tick);
    while (next < violations.size() &&
           (!counts(violations[next]) || violations[next].start_ns <= now_ns)) {
      if (counts(violations[next])) {
        const Violation& begun = violations[next];
        const std::int64_t until_ns = begun.open ? known_until_ns : begun.end_ns;
        busy_until_ns = any_started ? std::max(busy_until_ns, until_ns) : until_ns;
        any_started = true;
      }
      ++next;
    }
    label.in_violation = any_started && now_ns <= busy_until_ns;
    const bool has_next = next < violations.size();
    const std::int64_t start_ns = has_next ? violations[next].start_ns : 0;
    if (has_next && start_ns - now_ns <= farthest_ns) label.next = static_cast<std::int32_t>(next);
    for (std::size_t h = 0; h < horizons_ns.size(); ++h) {
      const std::uint32_t bit = std::uint32_t{1} << h;
      const bool starts = has_next && start_ns - now_ns <= horizons_ns[h];
      if (starts) label.starts |= bit;
      // While one lasts the next does not start, and whether it would have is not known.
      const bool seen_to_the_end = now_ns + horizons_ns[h] <= known_until_ns;
      if (!label.in_violation && (starts || seen_to_the_end)) label.known |= bit;
    }
  }
}

void Apply(const Attribution& attribution, Violation* violation) {
  violation->initiation = attribution.initiation;
  violation->culprit =
      attribution.initiation == Initiation::kService ? attribution.culprit : ServiceId();
  violation->confidence = attribution.confidence;
}

SEER_END_NAMESPACE
