// Flow: recorded windows -> [BatchSource] -> TrainingBatch -> Trainer
//
// Where training gets its windows and what was right for each. The trainer asks by number, in an
// order of its own; a source holds them in memory, reads them from a file or cuts them from a
// recorded run.
//
//   class Runs : public seer::BatchSource {
//     std::size_t windows() const override { return windows_.size(); }
//     absl::Status Fill(absl::Span<const std::uint64_t> which, seer::TrainingBatch* batch)
//     override;
//   };
//   seer::MemorySource source(network);                   // or the one that is there
//   source.Add(window.values, {}).IgnoreError();
//
// Threads: the trainer calls Fill() from the thread that called Train() or Evaluate(), one at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE

// Windows and their truth, one after the other. A list that is not empty has a value for each
// window.
struct TrainingBatch {
  std::size_t windows = 0;
  std::vector<float> inputs;  // windows x T x N x C, as Window::values; finite
  // Output softmax: which of the N + extras outputs is right; -1: this window says nothing of it.
  std::vector<std::int32_t> initiator;
  // Output sigmoid: windows x (N + extras), each 0 to 1; negative: not known.
  std::vector<float> initiators;
  // windows x classes: the first horizon within which a violation starts, `horizons` for none;
  // -1: not known.
  std::vector<std::int32_t> hazard;
  std::vector<float> weight;  // of each window in the loss; empty: 1 each

  void Clear();
  // InvalidArgument names the list that does not fit the network, or the window with a value that
  // is not finite or out of range.
  absl::Status Check(const Network& network) const;
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual std::size_t windows() const = 0;
  // Replaces what is in `batch` by these windows (numbers below windows()), in this order. An error
  // ends the training with it.
  virtual absl::Status Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) = 0;
};

// All windows in memory: 4 bytes per value.
class MemorySource : public BatchSource {
 public:
  struct Truth {
    std::int32_t initiator = -1;
    absl::Span<const float> initiators;     // empty or N + extras
    absl::Span<const std::int32_t> hazard;  // empty or one for each request class
    float weight = 1;
  };
  explicit MemorySource(const Network& network);

  absl::Status Add(absl::Span<const float> values, const Truth& truth);

  std::size_t windows() const override { return all_.windows; }
  absl::Status Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) override;

 private:
  std::size_t values_, initiators_, classes_;
  OutputKind output_;
  TrainingBatch all_;
};

SEER_END_NAMESPACE
