#include "seer/predict/replay_buffer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/replay_state.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/counter_rng.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::BytesOf;

constexpr std::size_t kMostSlots = std::size_t{1} << 20;
constexpr float kCut = 8;  // as WindowBuilder

absl::Status Wrong(const char* what, std::size_t value, const char* fix) {
  return absl::InvalidArgumentError(absl::StrCat("replay: ", what, " is ", value, ": ", fix));
}

class ReplaySource final : public BatchSource {
 public:
  ReplaySource(const ReplayBuffer& buffer, const ModelInputs& inputs,
               absl::Span<const std::string> services, absl::Span<const std::int32_t> slots,
               std::vector<std::uint32_t> drawn)
      : buffer_(buffer),
        slots_(slots.begin(), slots.end()),
        inputs_(inputs.inputs.size()),
        drawn_(std::move(drawn)) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const std::int32_t slot = slots_[i];
      if (slot < 0) continue;
      if (places_.size() <= static_cast<std::size_t>(slot)) {
        places_.resize(static_cast<std::size_t>(slot) + 1, -1);
      }
      places_[static_cast<std::size_t>(slot)] = static_cast<std::int32_t>(i);
    }
    const Normalizer& normalizer = inputs.normalizer;
    const bool scaled = !normalizer.inputs.empty();
    for (std::size_t i = 0; i < services.size(); ++i) {
      const auto row =
          std::find(normalizer.services.begin(), normalizer.services.end(), services[i]);
      for (std::size_t c = 0; c < inputs_; ++c) {
        Normalizer::Scale scale;
        if (scaled) {
          scale =
              row == normalizer.services.end()
                  ? normalizer.common[c]
                  : normalizer.scales[static_cast<std::size_t>(row - normalizer.services.begin()) *
                                          inputs_ +
                                      c];
        }
        scale.spread = 1.0f / std::max(scale.spread, 1e-6f);
        scales_.push_back(scale);
      }
    }
  }

  std::size_t windows() const override { return drawn_.size(); }

  absl::Status Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) override {
    batch->Clear();
    batch->windows = which.size();
    for (const std::uint64_t i : which) {
      if (i >= drawn_.size()) {
        return absl::OutOfRangeError(absl::StrCat("replay: window ", i, " of ", drawn_.size(),
                                                  ": ask for one that is there"));
      }
      Append(buffer_.window(drawn_[static_cast<std::size_t>(i)]), batch);
    }
    return absl::OkStatus();
  }

 private:
  void Append(const ReplayWindow& window, TrainingBatch* batch) const {
    const std::size_t services = slots_.size();
    const std::size_t row = window.slots * inputs_;
    const std::size_t ticks = row == 0 ? 0 : window.values.size() / row;
    const std::size_t at = batch->inputs.size();
    batch->inputs.resize(at + ticks * services * inputs_, 0.0f);
    for (std::size_t t = 0; t < ticks; ++t) {
      float* to = &batch->inputs[at + t * services * inputs_];
      for (std::size_t i = 0; i < services; ++i, to += inputs_) {
        if (slots_[i] < 0 || static_cast<std::size_t>(slots_[i]) >= window.slots) continue;
        const std::int16_t* const from =
            &window.values[t * row + static_cast<std::size_t>(slots_[i]) * inputs_];
        for (std::size_t c = 0; c < inputs_; ++c) {
          if (from[c] == ReplayWindow::kMissing) continue;
          const Normalizer::Scale& scale = scales_[i * inputs_ + c];
          const float value = static_cast<float>(from[c]) / ReplayWindow::kScale;
          to[c] = std::clamp((value - scale.middle) * scale.spread, -kCut, kCut);
        }
      }
    }
    const auto none = static_cast<std::int32_t>(services + ModelInputs::kNoViolation);
    const auto load = static_cast<std::int32_t>(services + ModelInputs::kLoad);
    std::int32_t initiator = -1;
    if (window.initiator == ReplayWindow::kNoViolation) initiator = none;
    if (window.initiator == ReplayWindow::kLoad) initiator = load;
    if (window.initiator >= 0 && static_cast<std::size_t>(window.initiator) < places_.size()) {
      initiator = places_[static_cast<std::size_t>(window.initiator)];
    }
    batch->initiator.push_back(initiator);
    batch->hazard.insert(batch->hazard.end(), window.hazards.begin(), window.hazards.end());
    batch->weight.push_back(window.weight);
  }

  const ReplayBuffer& buffer_;
  const std::vector<std::int32_t> slots_;
  const std::size_t inputs_;
  const std::vector<std::uint32_t> drawn_;
  std::vector<std::int32_t> places_;       // by slot
  std::vector<Normalizer::Scale> scales_;  // spread inverted
};

}  // namespace

absl::StatusOr<ReplayBuffer> ReplayBuffer::Create(std::size_t ticks, std::size_t inputs,
                                                  std::size_t classes,
                                                  const ReplayOptions& options) {
  if (ticks < 1 || ticks > WindowBuilder::kMaxTicks) return Wrong("ticks", ticks, "give 1 to 4096");
  if (inputs < 1 || inputs > WindowInputs::kMaxInputs) {
    return Wrong("inputs", inputs, "give 1 to 64");
  }
  if (options.bytes < 1 << 16) return Wrong("options.bytes", options.bytes, "give 65536 or more");
  ReplayBuffer buffer;
  buffer.ticks_ = ticks;
  buffer.inputs_ = inputs;
  buffer.classes_ = classes;
  buffer.options_ = options;
  buffer.groups_.resize(2);
  return buffer;
}

std::size_t ReplayBuffer::GroupOf(const ReplayWindow& window) {
  if (window.initiator >= 0) return 2 + static_cast<std::size_t>(window.initiator);
  return window.initiator == ReplayWindow::kLoad ? 1 : 0;
}

absl::Status ReplayBuffer::Fits(const ReplayWindow& window) const {
  if (window.slots > kMostSlots || window.values.size() != ticks_ * window.slots * inputs_) {
    return Wrong("window.values' size", window.values.size(), "give ticks x slots x inputs");
  }
  if (window.hazards.size() != classes_) {
    return Wrong("window.hazards' size", window.hazards.size(), "give one for each class");
  }
  if (window.initiator < ReplayWindow::kLoad ||
      (window.initiator >= 0 && static_cast<std::size_t>(window.initiator) >= window.slots)) {
    return absl::InvalidArgumentError("replay: window.initiator: give a slot that it has");
  }
  if (!(window.weight > 0 && window.weight <= 1)) {
    return absl::InvalidArgumentError("replay: window.weight: give more than 0 and at most 1");
  }
  const std::size_t bytes = BytesOf(window);
  if (bytes > options_.bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "replay: a window has ", bytes, " bytes, options.bytes is ", options_.bytes, ": raise it"));
  }
  return absl::OkStatus();
}

void ReplayBuffer::Put(ReplayWindow window) {
  const std::size_t group = GroupOf(window), bytes = BytesOf(window);
  if (groups_.size() <= group) groups_.resize(group + 1);
  groups_[group].bytes += bytes;
  groups_[group].windows += 1;
  used_ += bytes;
  windows_.push_back(std::move(window));
}

absl::Status ReplayBuffer::Add(ReplayWindow window) {
  SEER_RETURN_IF_ERROR(Fits(window));
  ++added_;
  newest_version_ = std::max(newest_version_, window.version);
  const std::size_t group = GroupOf(window);
  Put(std::move(window));
  groups_[group].came += 1;
  while (used_ > options_.bytes) Evict();
  return absl::OkStatus();
}

void ReplayBuffer::State(internal::StateIo& io) {
  io(added_), io(newest_version_);
  std::size_t windows = windows_.size();
  if (!io.Count(&windows, internal::kLeastReplayWindow)) return;
  for (std::size_t i = 0; i < windows && io.ok(); ++i) {
    ReplayWindow loaded;
    ReplayWindow& window = io.loading() ? loaded : windows_[i];
    internal::ReplayWindowState(io, window);
    if (!io.loading() || !io.ok()) continue;
    io.Require(Fits(window).ok(), "a window of another shape");
    if (io.ok()) Put(std::move(window));
  }
  std::size_t groups = groups_.size();
  if (!io.Count(&groups, sizeof(double))) return;
  if (io.loading()) {
    io.Require(groups >= groups_.size() && groups <= kMostSlots + 2, "groups of nobody's");
    if (!io.ok()) return;
    groups_.resize(groups);
  }
  for (Group& group : groups_) {
    io(group.came);
    // Forgetting rounds.
    io.Require(
        group.came >= static_cast<double>(group.windows) * (1 - 1e-9) - 1e-6 && group.came < 1e18,
        "a sample of fewer than it has");
  }
  if (!io.loading() || !io.ok()) return;
  while (used_ > options_.bytes) Evict();
}

void ReplayBuffer::Evict() {
  // Whose share is exceeded most.
  std::size_t others = 0;
  for (std::size_t g = 1; g < groups_.size(); ++g) others += groups_[g].windows > 0 ? 1 : 0;
  std::size_t worst = 0;
  double excess = -1;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].windows == 0) continue;
    const double half = static_cast<double>(options_.bytes) / 2;
    const double share = g == 0 ? half : half / static_cast<double>(others);
    const double over = static_cast<double>(groups_[g].bytes) / share;
    if (over > excess) {
      excess = over;
      worst = g;
    }
  }
  // Of a few that chance points at the oldest version goes; the window that came last is one like
  // any other, or the group would no longer be a sample of all that came.
  const CounterRng rng(options_.seed, added_);
  std::size_t gone = windows_.size();
  std::uint64_t draw = 0;
  std::size_t seen = 0;
  const auto is_old = [&](const ReplayWindow& window) {
    return window.version + options_.versions <= newest_version_;
  };
  for (int tries = 0; tries < 64 && seen < 8; ++tries) {
    const auto i = static_cast<std::size_t>(rng.Below(draw++, windows_.size()));
    if (GroupOf(windows_[i]) != worst) continue;
    ++seen;
    if (gone == windows_.size() || (is_old(windows_[i]) && !is_old(windows_[gone]))) gone = i;
  }
  // A group with few but large windows may not have been hit.
  for (std::size_t i = 0; gone == windows_.size(); ++i) {
    if (GroupOf(windows_[i]) == worst) gone = i;
  }
  Remove(gone);
}

void ReplayBuffer::Remove(std::size_t i) {
  Group& group = groups_[GroupOf(windows_[i])];
  const std::size_t bytes = BytesOf(windows_[i]);
  group.bytes -= bytes;
  --group.windows;
  used_ -= bytes;
  if (i + 1 != windows_.size()) windows_[i] = std::move(windows_.back());
  windows_.pop_back();
}

void ReplayBuffer::ForgetBefore(std::int64_t end_ns) {
  for (std::size_t i = 0; i < windows_.size();) {
    if (windows_[i].end_ns >= end_ns) {
      ++i;
      continue;
    }
    Group& group = groups_[GroupOf(windows_[i])];
    group.came -= group.came / static_cast<double>(group.windows);
    Remove(i);
  }
}

void ReplayBuffer::Clear() {
  windows_.clear();
  groups_.assign(2, Group());
  used_ = 0;
}

std::size_t ReplayBuffer::positives() const { return windows_.size() - groups_[0].windows; }

double ReplayBuffer::Represents(std::size_t i) const {
  const Group& group = groups_[GroupOf(windows_[i])];
  return group.came / static_cast<double>(group.windows);
}

std::unique_ptr<BatchSource> ReplayBuffer::NewSource(const ModelInputs& inputs,
                                                     absl::Span<const std::string> services,
                                                     absl::Span<const std::int32_t> slots,
                                                     std::size_t count, std::uint64_t seed) const {
  std::vector<std::uint32_t> drawn;
  if (count == 0) {
    for (std::uint32_t i = 0; i < windows_.size(); ++i) drawn.push_back(i);
  } else if (!windows_.empty()) {
    std::vector<std::vector<std::uint32_t>> members(groups_.size());
    for (std::uint32_t i = 0; i < windows_.size(); ++i) {
      members[GroupOf(windows_[i])].push_back(i);
    }
    std::vector<double> up_to(groups_.size(), 0);
    double sum = 0;
    for (std::size_t g = 1; g < members.size(); ++g) {
      sum += std::sqrt(static_cast<double>(members[g].size()));
    }
    const double none = members[0].empty() ? 0 : sum > 0 ? 0.5 : 1;
    double so_far = none;
    up_to[0] = so_far;
    for (std::size_t g = 1; g < members.size(); ++g) {
      if (sum > 0) {
        so_far += (1 - none) * std::sqrt(static_cast<double>(members[g].size())) / sum;
      }
      up_to[g] = so_far;
    }
    const CounterRng rng(seed, CounterRng::StreamOf("replay"));
    for (std::size_t i = 0; i < count; ++i) {
      const double draw = static_cast<double>(rng.Below(2 * i, 1u << 30)) / (1u << 30);
      auto g = static_cast<std::size_t>(std::upper_bound(up_to.begin(), up_to.end(), draw) -
                                        up_to.begin());
      g = std::min(g, members.size() - 1);
      while (members[g].empty()) g = g == 0 ? members.size() - 1 : g - 1;
      drawn.push_back(
          members[g][static_cast<std::size_t>(rng.Below(2 * i + 1, members[g].size()))]);
    }
  }
  return std::make_unique<ReplaySource>(*this, inputs, services, slots, std::move(drawn));
}

SEER_END_NAMESPACE
