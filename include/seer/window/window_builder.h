// Flow: ClusterTick -> [WindowBuilder] -> Window -> nn/, predict/
//
// The last T ticks as a model wants them: services in the model's order (topology_order.h), chosen
// inputs for each, each input of each service on its own scale, and a mask of what was not seen.
//
//   seer::NormalizerFitter fitter(inputs);                      // on the training runs only
//   for (const seer::ClusterTick& tick : training) fitter.Observe(tick, topology);
//   seer::Normalizer normalizer = fitter.Fit();                 // a value: the model stores it
//
//   auto builder = seer::WindowBuilder::Create(topology, 10, inputs, normalizer);
//   builder->Push(tick, topology);                              // every tick
//   const seer::Window& window = builder->window();
//
// A value x becomes (log(1 + |x|) with x's sign, less the middle) / spread, and is cut off at +-8.
// Middle and spread are the median and the interquartile range (over 1.35: a normal distribution's
// deviation) of the same input of the same service in the training data; services that the
// normaliser does not know take what all services have in common. The spread has a floor, 0.05, so
// that a depth that never moved in training does not become huge by one request.
//
// Missing values are 0, not seen. Ticks that are left out are rows in which nothing was seen; a
// tick that is not newer than the last is ignored. Another period, or another set of services,
// needs another builder: Create() orders the services that are live then, and later ones are not
// part of the window (`unknown_services` counts them).
//
// Threads: one at a time. Cost: Push() of 386 services and 12 inputs see benchmarks/window; it
// allocates nothing once its tables have their size (the first push). The window is kept whole: it
// moves up by one row with each tick, a copy of 5 bytes for each value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"
#include "seer/core/topology_order.h"
#include "seer/core/window.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

// One input of a service.
struct WindowInput {
  enum class Kind : std::uint8_t {
    kDepth,        // of a channel: at the tick's end, or the mean where only that is known
    kArrivals,     // of a channel, a second
    kDepartures,   // of a channel, a second
    kMeanWait,     // of a channel, in ms, of the requests that left
    kOutstanding,  // calls that stand at the service, over all its callers
    kSelf,         // of those, not blocked in calls of its own; signed
    kOutbound,     // calls that are open, asynchronous ones too, over all its callees
    kCallsMade,    // by the service, a second
  };
  Kind kind = Kind::kDepth;
  Channel channel = Channel::kQueued;  // of the first four kinds; else not used
  bool delta = false;                  // the change against the tick before, instead

  friend bool operator==(const WindowInput& a, const WindowInput& b) {
    return a.kind == b.kind && a.channel == b.channel && a.delta == b.delta;
  }
};
// "depth(queued)", "delta self", ... ; and back, InvalidArgument for what is no such name.
std::string WindowInputName(const WindowInput& input);
absl::StatusOr<WindowInput> WindowInputFromName(std::string_view name);

// Which inputs, in the order in which they stand in the window. At most kMaxInputs.
class WindowInputs {
 public:
  static constexpr std::size_t kMaxInputs = 64;

  WindowInputs() = default;
  // Duplicates are left out, and what is beyond kMaxInputs.
  explicit WindowInputs(absl::Span<const WindowInput> inputs);

  // Depths of the channels; arrivals of the application's queues; and of the depths that only
  // instrumentation tells, outstanding, self and outbound where the mask has kRunning. So
  // ChannelMask::NicOnly() etc. are the paper's ablations.
  static WindowInputs Of(ChannelMask channels, bool deltas = false);
  // What traces alone can tell: outstanding, self, outbound, running and blocked.
  static WindowInputs OfTraces(bool deltas = false);

  absl::Span<const WindowInput> list() const { return list_; }
  std::size_t size() const { return list_.size(); }

  friend bool operator==(const WindowInputs& a, const WindowInputs& b) {
    return a.list_ == b.list_;
  }

 private:
  std::vector<WindowInput> list_;
};

// How values are scaled: a plain value that a model stores beside its weights.
struct Normalizer {
  struct Scale {
    float middle = 0;  // of log(1 + |x|) with x's sign
    float spread = 1;  // above 0
    friend bool operator==(const Scale& a, const Scale& b) {
      return a.middle == b.middle && a.spread == b.spread;
    }
  };
  std::vector<std::string> inputs;    // names, in the window's order
  std::vector<std::string> services;  // by name, as ids are of one epoch only
  std::vector<Scale> scales;          // services x inputs
  std::vector<Scale> common;          // inputs: of services that are not listed

  // OK, or InvalidArgument: sizes that do not agree, scales that are not finite or not above 0.
  // Values from a file have to be asked; WindowBuilder::Create() does.
  [[nodiscard]] absl::Status Validate() const;

  friend bool operator==(const Normalizer& a, const Normalizer& b) {
    return a.inputs == b.inputs && a.services == b.services && a.scales == b.scales &&
           a.common == b.common;
  }
};

// The signed logarithm that is scaled. Exact at 0; within 2e-6 of log1p elsewhere.
float CompressDepth(float value);

// Fits a normaliser to training data: medians and quartiles of what was seen, from a histogram for
// each input of each service (512 bins over the compressed range: to within 0.04). Memory 2 KiB for
// each.
class NormalizerFitter {
 public:
  explicit NormalizerFitter(WindowInputs inputs) : inputs_(std::move(inputs)) {}

  // Ticks of one run in order, for the sake of deltas. Topologies of one epoch.
  void Observe(const ClusterTick& tick, const Topology& topology);
  void NextRun() { have_before_ = false; }
  // Of what was observed. Inputs that were seen in fewer than 8 ticks take the common scale.
  Normalizer Fit() const;

 private:
  static constexpr std::size_t kBins = 512;
  using Histogram = std::array<std::uint32_t, kBins>;

  WindowInputs inputs_;
  SelfDepthTable self_;
  std::vector<float> now_, before_;
  std::vector<std::uint8_t> now_seen_, before_seen_;
  std::vector<float> outbound_;
  std::vector<std::string> services_;
  std::vector<Histogram> histograms_;
  Tick last_ = 0;
  bool have_before_ = false;
};

class WindowBuilder {
 public:
  static constexpr std::size_t kMaxTicks = 4096;

  // InvalidArgument: no ticks, no inputs, a normaliser of other inputs, a window of more than 2^28
  // values. Without a normaliser (no inputs listed in it) values are only compressed.
  static absl::StatusOr<WindowBuilder> Create(const Topology& topology, std::size_t ticks,
                                              WindowInputs inputs,
                                              const Normalizer& normalizer = {});
  // The same in an order that is given, e.g. by a model that was trained with it.
  static absl::StatusOr<WindowBuilder> Create(const Topology& topology,
                                              absl::Span<const ServiceId> order, std::size_t ticks,
                                              WindowInputs inputs,
                                              const Normalizer& normalizer = {});

  // The topology is that of the tick's numbering, or a later version of it.
  void Push(const ClusterTick& tick, const Topology& topology);
  // Forgets all ticks: another run begins.
  void Clear();

  const Window& window() const { return window_; }
  // Ticks pushed into the window, up to T: fewer, and its oldest rows are missing.
  std::size_t filled() const { return filled_; }
  const WindowInputs& inputs() const { return inputs_; }
  absl::Span<const ServiceId> order() const { return order_; }
  std::uint64_t ignored_ticks() const { return ignored_ticks_; }
  std::size_t unknown_services() const { return unknown_services_; }

 private:
  WindowBuilder() = default;
  void Shift(std::size_t rows);

  WindowInputs inputs_;
  std::vector<ServiceId> order_;
  std::vector<Normalizer::Scale> scales_;  // order x inputs, spread inverted
  Window window_;
  std::size_t filled_ = 0;
  bool started_ = false;
  std::uint64_t ignored_ticks_ = 0;
  std::size_t unknown_services_ = 0;
  SelfDepthTable self_;
  std::vector<float> now_, before_, outbound_;
  std::vector<std::uint8_t> now_seen_, before_seen_;
};

SEER_END_NAMESPACE
