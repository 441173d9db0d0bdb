// Flow: TrainTrees -> [TreeModel] -> MakeTreePredictor -> Forecast
//
// A trained model that does not care how many services there are, nor what they are called: one set
// of boosted trees says of each request class how likely a violation starts within each horizon,
// another one who of the conspicuous services would initiate it. Learnt on some applications, it
// serves others.
//
//   auto model = seer::LoadTreeModel("shop.model");                       // StatusOr
//   auto predictor = seer::MakeTreePredictor(*std::move(model));
//   // or simply: seer::Predictor::Load("shop.model")
//
// What it looks at: depths and self depths as spreads above usual, how they rise, rates, what
// stands at a service over the rate at which it is served, neighbours along edges and on the node;
// how much of its target a class uses up, now, in the last seconds and usually, how old its oldest
// request is by what a slow one usually takes, how many of its requests should have ended and have
// not, whom it waits for (src/predict/tree_features.h).
//
// The initiators are ranked by the trees once the probability has come to a tenth of the threshold;
// before that, by how conspicuous they are. A forecast has no row for a class until half a minute's
// worth of ticks, or 30, have told what is usual.
//
// The file is text: "seer-trees 1", facts a line, the two sets of trees, and a checksum.
//
// Threads: plain values; the predictor one at a time. Cost: benchmarks/RESULTS.md; no allocation
// from one tick to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/tick.h"
#include "seer/predict/boosted_trees.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE

// What a model may look at: all there is, or an ablation.
struct TreeInputs {
  ChannelMask channels = ChannelMask::All();
  bool edges = true;    // calls outstanding and made; self depths need them
  bool latency = true;  // of the request classes

  friend bool operator==(const TreeInputs& a, const TreeInputs& b) {
    return a.channels == b.channels && a.edges == b.edges && a.latency == b.latency;
  }
};

struct TreeModel {
  static constexpr std::size_t kClassColumns = 89;    // of `violations`
  static constexpr std::size_t kServiceColumns = 66;  // of `initiators`

  TickPeriod period;
  TreeInputs inputs;
  std::vector<std::int64_t> horizons_ns;  // growing; an output of `violations` each
  BoostedTrees violations;
  BoostedTrees initiators;  // one output; may be empty: the most conspicuous service is blamed
  ModelCalibration calibration;
  std::map<std::string, std::string> provenance;  // of one line each

  // InvalidArgument names what does not fit together.
  [[nodiscard]] absl::Status Validate() const;
};

// Whether the bytes begin as a TreeModel's do.
bool IsTreeModel(std::string_view bytes);
bool IsTreeModelFile(const std::string& path);  // false where it cannot be read
// The model is valid.
std::string EncodeTreeModel(const TreeModel& model);
// Any bytes may be decoded. DataLoss: not whole. InvalidArgument: not a model of this version.
absl::StatusOr<TreeModel> DecodeTreeModel(std::string_view bytes);

// Written beside it, and renamed.
absl::Status SaveTreeModel(const TreeModel& model, const std::string& path);
absl::StatusOr<TreeModel> LoadTreeModel(const std::string& path);

struct TreePredictorOptions {
  std::string name = "trees";
  std::size_t max_initiators = 8;  // 1 to 24, "load" not counted
  bool evidence = true;
};
absl::StatusOr<std::unique_ptr<TickPredictor>> MakeTreePredictor(
    TreeModel model, const TreePredictorOptions& options = {});

SEER_END_NAMESPACE
