// Flow: labelled windows -> [ReplayBuffer] -> BatchSource -> Trainer
//
// What a model that goes on learning remembers: windows of some time ago beside those of today, in
// bounded memory, so that it learns what is new and does not forget what is rare.
//
//   auto buffer = seer::ReplayBuffer::Create(20, inputs.inputs.size(), 1, options);   // StatusOr
//   buffer->Add(std::move(window));                                    // as they become known
//   auto source = buffer->NewSource(inputs, services, slots, 32 * 100, seed);   // for a Trainer
//
// Windows are kept as compressed depths (CompressDepth) in 16 bits, to within 0.0003, before any
// normalisation: when the normaliser is another one they are what they were. Services stand in
// slots, which only become more; a model finds its own by name.
//
// Who has to go when it is full. Half of the room is for windows without a violation ahead, the
// other half is shared alike by those that somebody initiates: the services, and "load". Of
// whoever has more than its share, windows of versions of the application before the last
// `versions` go first, then any, by chance: so each group is a sample of all that came, the more
// recent the more likely.
//
// A source draws windows by chance: half of them without a violation ahead, and of the other groups
// each as often as the square root of its size would have it, so that what happened once is seen,
// but not as often as what happens daily. The same seed, the same windows.
//
// Threads: one at a time; a source until the next Add(). Cost: 2 bytes for each value of a window.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/batch.h"
#include "seer/predict/model_inputs.h"

SEER_BEGIN_NAMESPACE

namespace internal {
class StateIo;
}  // namespace internal

struct ReplayOptions {
  std::size_t bytes = std::size_t{256} << 20;
  std::uint32_t versions = 3;  // of the application whose windows stay as they are
  std::uint64_t seed = 1;
};

// A window that something is known of. Values are ticks x slots x inputs, oldest tick first.
struct ReplayWindow {
  static constexpr std::int16_t kMissing = -32768;
  static constexpr float kScale = 2048;  // of a compressed depth

  std::int64_t end_ns = 0;
  std::uint64_t version = 0;  // of the application
  std::size_t slots = 0;      // that there were then
  // Who initiates the violation ahead: a slot, kNoViolation, kLoad; kUnknown: only hazards count.
  static constexpr std::int32_t kUnknown = -1, kNoViolation = -2, kLoad = -3;
  std::int32_t initiator = kUnknown;
  std::vector<std::int32_t> hazards;  // by class: the first horizon; -1: not known
  float weight = 1;                   // how sure it is, above 0 and at most 1
  std::vector<std::int16_t> values;
};

class ReplayBuffer {
 public:
  // `ticks` and `inputs` of a window, `classes` with hazards. InvalidArgument names what is out of
  // range.
  static absl::StatusOr<ReplayBuffer> Create(std::size_t ticks, std::size_t inputs,
                                             std::size_t classes, const ReplayOptions& options);

  // InvalidArgument: of another shape. ResourceExhausted: one window is more than all of `bytes`.
  [[nodiscard]] absl::Status Add(ReplayWindow window);
  // Forgets the windows that end before this time.
  void ForgetBefore(std::int64_t end_ns);
  void Clear();

  std::size_t windows() const { return windows_.size(); }
  std::size_t bytes() const { return used_; }
  // With a violation ahead.
  std::size_t positives() const;
  std::uint64_t added() const { return added_; }
  const ReplayWindow& window(std::size_t i) const { return windows_[i]; }
  // For how many of those that came window i stands.
  double Represents(std::size_t i) const;

  // `slots`: for each of the model's services its slot, or -1. Draws `count` windows; 0: every
  // window once, in the order in which they are kept. The buffer outlives it, unchanged.
  std::unique_ptr<BatchSource> NewSource(const ModelInputs& inputs,
                                         absl::Span<const std::string> services,
                                         absl::Span<const std::int32_t> slots, std::size_t count,
                                         std::uint64_t seed) const;

  // For a retrainer's SaveState() and LoadState(): all of it; loading, into one of this shape that
  // is empty. What is more than `bytes` goes as when it came. After an error it is of no use.
  void State(internal::StateIo& io);

 private:
  ReplayBuffer() = default;
  struct Group {
    std::size_t bytes = 0, windows = 0;
    double came = 0;  // of which these are a sample
  };
  static std::size_t GroupOf(const ReplayWindow& window);
  absl::Status Fits(const ReplayWindow& window) const;
  void Put(ReplayWindow window);
  void Evict();
  void Remove(std::size_t i);

  std::size_t ticks_ = 0, inputs_ = 0, classes_ = 0;
  ReplayOptions options_;
  std::vector<ReplayWindow> windows_;
  std::vector<Group> groups_;  // no violation (or unknown), load, slot 0, 1, ...
  std::size_t used_ = 0;
  std::uint64_t newest_version_ = 0;
  std::uint64_t added_ = 0;
};

SEER_END_NAMESPACE
