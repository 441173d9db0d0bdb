#include "seer/window/window_builder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "window/window_inputs.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr float kCut = 8;
constexpr float kMinSpread = 0.05f;
constexpr std::uint64_t kMinSamples = 8;
constexpr std::size_t kMaxValues = std::size_t{1} << 28;
// Of compressed values, for the fitter's bins: exp(12) is 160,000.
constexpr float kRange = 12;

// log(y) for y >= 1, without a branch or a call so that loops over it are vectorised. The mantissa
// is taken to [sqrt(1/2), sqrt(2)), where the series of atanh ends within 1e-9.
inline float LogAboveOne(float y) {
  std::uint32_t bits;
  std::memcpy(&bits, &y, sizeof bits);
  const std::uint32_t shifted = bits - 0x3f3504f3u;  // sqrt(1/2)
  const auto exponent = static_cast<std::int32_t>(shifted) >> 23;
  const std::uint32_t mantissa_bits = (shifted & 0x007fffffu) + 0x3f3504f3u;
  float mantissa;
  std::memcpy(&mantissa, &mantissa_bits, sizeof mantissa);
  const float s = (mantissa - 1.0f) / (mantissa + 1.0f);
  const float s2 = s * s;
  const float series = 2.0f + s2 * (2.0f / 3 + s2 * (2.0f / 5 + s2 * (2.0f / 7 + s2 * (2.0f / 9))));
  return static_cast<float>(exponent) * 0.69314718056f + s * series;
}

inline float Compress(float value) {
  const float size = std::min(std::fabs(value), 1e30f);
  return std::copysign(LogAboveOne(1.0f + size), value);
}

// The value below which a share of the histogram's counts lies.
template <typename Histogram>
double QuantileOf(const Histogram& histogram, std::uint64_t total, double q) {
  const double rank = q * static_cast<double>(total);
  double below = 0;
  const double width = 2.0 * kRange / static_cast<double>(histogram.size());
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    const auto count = static_cast<double>(histogram[i]);
    if (count > 0 && below + count >= rank) {
      // All of a bin may be one value; its middle is within half a bin of any.
      return -kRange + (static_cast<double>(i) + 0.5) * width;
    }
    below += count;
  }
  return 0;
}

template <typename Histogram>
std::optional<Normalizer::Scale> ScaleOf(const Histogram& histogram) {
  std::uint64_t total = 0;
  for (const auto count : histogram) total += count;
  if (total < kMinSamples) return std::nullopt;
  const double middle = QuantileOf(histogram, total, 0.5);
  const double quartiles =
      (QuantileOf(histogram, total, 0.75) - QuantileOf(histogram, total, 0.25)) / 1.349;
  // Where most of the time nothing stands the quartiles are one value; the tail is not.
  const double tail = (QuantileOf(histogram, total, 0.95) - middle) / 1.645;
  Normalizer::Scale scale;
  scale.middle = static_cast<float>(middle);
  scale.spread = std::max({static_cast<float>(quartiles), static_cast<float>(tail), kMinSpread});
  return scale;
}

}  // namespace

float CompressDepth(float value) { return std::isnan(value) ? 0.0f : Compress(value); }

absl::Status Normalizer::Validate() const {
  if (inputs.size() > WindowInputs::kMaxInputs) {
    return absl::InvalidArgumentError(absl::StrCat("normalizer.inputs: ", inputs.size(),
                                                   " inputs, at most ", WindowInputs::kMaxInputs,
                                                   " are possible: fit it again"));
  }
  if (common.size() != inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("normalizer.common has ", common.size(),
                                                   " scales for ", inputs.size(),
                                                   " inputs: give one for each"));
  }
  if (services.size() > Topology::kMaxRows || scales.size() != services.size() * inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "normalizer.scales has ", scales.size(), " scales for ", services.size(), " services and ",
        inputs.size(), " inputs: give one for each service and input"));
  }
  for (const auto* list : {&scales, &common}) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      const Scale& scale = (*list)[i];
      if (std::isfinite(scale.middle) && std::isfinite(scale.spread) && scale.spread > 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "normalizer.", list == &common ? "common" : "scales", "[", i, "]: middle ", scale.middle,
          ", spread ", scale.spread, ": both have to be finite and the spread above 0"));
    }
  }
  return absl::OkStatus();
}

void NormalizerFitter::Observe(const ClusterTick& tick, const Topology& topology) {
  const std::size_t inputs = inputs_.size();
  internal::ReadInputs(tick, topology, inputs_.list(), &self_, &outbound_, &now_, &now_seen_);
  const std::size_t services = topology.services().size();
  if (services_.size() < services) {
    services_.resize(services);
    histograms_.resize(services * inputs, Histogram{});
  }
  const bool follows = have_before_ && tick.tick > last_ && tick.tick - 1 == last_;
  for (std::size_t s = 0; s < services; ++s) {
    if (services_[s].empty()) services_[s] = topology.services()[s].name;
    for (std::size_t c = 0; c < inputs; ++c) {
      const std::size_t i = s * inputs + c;
      if (now_seen_[i] == 0) continue;
      float value = now_[i];
      if (inputs_.list()[c].delta) {
        if (!follows || i >= before_seen_.size() || before_seen_[i] == 0) continue;
        value -= before_[i];
      }
      const float place = (Compress(value) + kRange) / (2 * kRange) * static_cast<float>(kBins);
      const auto bin =
          static_cast<std::size_t>(std::clamp(place, 0.0f, static_cast<float>(kBins) - 1.0f));
      std::uint32_t& count = histograms_[i][bin];
      if (count != 0xffffffffu) ++count;
    }
  }
  before_.swap(now_);
  before_seen_.swap(now_seen_);
  last_ = tick.tick;
  have_before_ = true;
}

Normalizer NormalizerFitter::Fit() const {
  Normalizer fitted;
  const std::size_t inputs = inputs_.size();
  for (const WindowInput& input : inputs_.list()) fitted.inputs.push_back(WindowInputName(input));
  fitted.services = services_;
  for (std::size_t c = 0; c < inputs; ++c) {
    std::array<std::uint64_t, kBins> all{};
    for (std::size_t s = 0; s < services_.size(); ++s) {
      for (std::size_t b = 0; b < kBins; ++b) all[b] += histograms_[s * inputs + c][b];
    }
    fitted.common.push_back(ScaleOf(all).value_or(Normalizer::Scale()));
  }
  for (std::size_t s = 0; s < services_.size(); ++s) {
    for (std::size_t c = 0; c < inputs; ++c) {
      fitted.scales.push_back(ScaleOf(histograms_[s * inputs + c]).value_or(fitted.common[c]));
    }
  }
  return fitted;
}

absl::StatusOr<WindowBuilder> WindowBuilder::Create(const Topology& topology, std::size_t ticks,
                                                    WindowInputs inputs,
                                                    const Normalizer& normalizer) {
  const TopologyOrder order = OrderServices(topology);
  return Create(topology, order.services, ticks, std::move(inputs), normalizer);
}

absl::StatusOr<WindowBuilder> WindowBuilder::Create(const Topology& topology,
                                                    absl::Span<const ServiceId> order,
                                                    std::size_t ticks, WindowInputs inputs,
                                                    const Normalizer& normalizer) {
  if (ticks == 0 || ticks > kMaxTicks) {
    return absl::InvalidArgumentError(
        absl::StrCat("window: ", ticks, " ticks: ask for 1 to ", kMaxTicks));
  }
  if (inputs.size() == 0) {
    return absl::InvalidArgumentError("window: no inputs: choose some, e.g. WindowInputs::Of()");
  }
  if (order.size() > kMaxValues / (ticks * inputs.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("window: ", ticks, " ticks x ", order.size(), " services x ", inputs.size(),
                     " inputs are more than ", kMaxValues, " values: take fewer ticks or inputs"));
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (!topology.Has(order[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("order[", i, "]: service ", order[i].value(),
                       " is not in the topology: give the topology it was made for"));
    }
  }
  SEER_RETURN_IF_ERROR(normalizer.Validate());
  const bool scaled = !normalizer.inputs.empty();
  for (std::size_t c = 0; scaled && c < std::max(inputs.size(), normalizer.inputs.size()); ++c) {
    const std::string want = c < inputs.size() ? WindowInputName(inputs.list()[c]) : "nothing";
    const std::string have = c < normalizer.inputs.size() ? normalizer.inputs[c] : "nothing";
    if (want == have) continue;
    return absl::InvalidArgumentError(absl::StrCat("normalizer.inputs[", c, "] is '", have,
                                                   "' where the window has '", want,
                                                   "': use the inputs that it was fitted for"));
  }

  WindowBuilder builder;
  std::unordered_map<std::string, std::size_t> rows;
  for (std::size_t i = 0; i < normalizer.services.size(); ++i) rows[normalizer.services[i]] = i;
  for (const ServiceId id : order) {
    const auto row = rows.find(topology.service(id).name);
    for (std::size_t c = 0; c < inputs.size(); ++c) {
      Normalizer::Scale scale;
      if (scaled) {
        scale = row == rows.end() ? normalizer.common[c]
                                  : normalizer.scales[row->second * inputs.size() + c];
      }
      scale.spread = 1.0f / std::max(scale.spread, 1e-6f);  // 0 times infinity is no value
      builder.scales_.push_back(scale);
    }
  }
  builder.window_.Reset(ticks, order.size(), inputs.size());
  builder.order_.assign(order.begin(), order.end());
  builder.inputs_ = std::move(inputs);
  return builder;
}

void WindowBuilder::Clear() {
  window_.Reset(window_.ticks, window_.services, window_.inputs);
  filled_ = 0;
  started_ = false;
}

// The oldest rows go, and as many empty ones come.
void WindowBuilder::Shift(std::size_t rows) {
  const std::size_t row = window_.services * window_.inputs;
  const std::size_t gone = std::min(rows, window_.ticks) * row;
  const std::size_t kept = window_.values.size() - gone;
  std::copy(window_.values.begin() + static_cast<std::ptrdiff_t>(gone), window_.values.end(),
            window_.values.begin());
  std::copy(window_.seen.begin() + static_cast<std::ptrdiff_t>(gone), window_.seen.end(),
            window_.seen.begin());
  std::fill(window_.values.begin() + static_cast<std::ptrdiff_t>(kept), window_.values.end(), 0.0f);
  std::fill(window_.seen.begin() + static_cast<std::ptrdiff_t>(kept), window_.seen.end(),
            std::uint8_t{0});
}

void WindowBuilder::Push(const ClusterTick& tick, const Topology& topology) {
  if (started_ && (tick.tick <= window_.last || tick.period != window_.period)) {
    ++ignored_ticks_;
    return;
  }
  const bool follows = started_ && tick.tick - 1 == window_.last;
  // In unsigned: the difference of any two ticks fits.
  const std::uint64_t step =
      started_ ? static_cast<std::uint64_t>(tick.tick) - static_cast<std::uint64_t>(window_.last)
               : 1;
  const std::size_t rows = step < window_.ticks ? static_cast<std::size_t>(step) : window_.ticks;
  Shift(rows);
  filled_ = std::min(window_.ticks, filled_ + rows);
  window_.last = tick.tick;
  window_.period = tick.period;
  started_ = true;

  const std::size_t inputs = inputs_.size();
  internal::ReadInputs(tick, topology, inputs_.list(), &self_, &outbound_, &now_, &now_seen_);
  unknown_services_ =
      topology.live_services() > order_.size() ? topology.live_services() - order_.size() : 0;
  const std::size_t newest = (window_.ticks - 1) * window_.services * inputs;
  const std::size_t services = topology.services().size();
  const auto list = inputs_.list();
  for (std::size_t rank = 0; rank < order_.size(); ++rank) {
    if (order_[rank].value() >= services) continue;
    const std::size_t from = order_[rank].index() * inputs;
    const std::size_t to = newest + rank * inputs;
    for (std::size_t c = 0; c < inputs; ++c) {
      float value = now_[from + c];
      bool seen = now_seen_[from + c] != 0;
      if (list[c].delta) {
        seen = seen && follows && from + c < before_seen_.size() && before_seen_[from + c] != 0;
        if (seen) value -= before_[from + c];
      }
      const Normalizer::Scale& scale = scales_[rank * inputs + c];
      const float scaled = (Compress(value) - scale.middle) * scale.spread;
      window_.values[to + c] = seen ? std::clamp(scaled, -kCut, kCut) : 0.0f;
      window_.seen[to + c] = seen ? 1 : 0;
    }
  }
  before_.swap(now_);
  before_seen_.swap(now_seen_);
}

SEER_END_NAMESPACE
