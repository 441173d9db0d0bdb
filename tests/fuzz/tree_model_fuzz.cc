// Any bytes into DecodeTreeModel() and BoostedTrees::Decode(). Checksums are made right, as a
// fuzzer does not guess them. What is accepted survives a round trip, and serves: it foresees a run
// in which a store falls behind, with probabilities.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "seer/core/internal/crc32c.h"
#include "seer/predict/tree_model.h"
#include "tests/predict/small_cluster.h"

namespace seer {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Serve(TreeModel model) {
  static auto* const ticks = [] {
    auto* const made = new std::vector<ClusterTick>;
    testing::SmallCluster cluster;
    for (int i = 0; i < 40; ++i) made->push_back(cluster.Next(i > 32 ? 20 * (i - 32) : 0));
    return made;
  }();
  static const auto* const cluster = new testing::SmallCluster;
  const TickPeriod period = model.period;
  const auto predictor = MakeTreePredictor(std::move(model));
  Require(predictor.ok());
  Forecast forecast;
  for (ClusterTick& tick : *ticks) {
    tick.period = period;
    if (!period.Contains(tick.tick)) return;
    Require((*predictor)->Observe(tick, cluster->topology, &forecast).ok());
    for (const ClassForecast& row : forecast.classes) {
      for (const HorizonProbability& each : row.horizons) {
        Require(each.probability >= 0 && each.probability <= 1);
      }
      Require(!row.initiators.empty());
    }
  }
  std::string state;
  Require((*predictor)->SaveState(&state).ok());
  Require((*predictor)->LoadState(state, cluster->topology).ok());
}

void Decode(std::string_view bytes) {
  auto model = DecodeTreeModel(bytes);
  if (!model.ok()) {
    Require(!model.status().message().empty());
    return;
  }
  Require(model->Validate().ok());
  const std::string again = EncodeTreeModel(*model);
  const auto same = DecodeTreeModel(again);
  Require(same.ok() && EncodeTreeModel(*same) == again);
  Serve(*std::move(model));
}

// The last line is made the checksum of all before it.
std::string WithGoodChecksum(std::string_view bytes) {
  std::string text(bytes);
  if (const std::size_t last = text.rfind("checksum "); last != text.npos) text.resize(last);
  const std::uint32_t sum = internal::Crc32c(text);
  text += "checksum ";
  for (int i = 7; i >= 0; --i) text += "0123456789abcdef"[sum >> 4 * i & 15];
  return text + "\n";
}

void Trees(std::string_view text) {
  const auto trees = BoostedTrees::Decode(text);
  if (!trees.ok()) return;
  const auto again = BoostedTrees::Decode(trees->Encode());
  Require(again.ok() && *again == *trees);
  const std::vector<float> row(2 * trees->columns(), 0.5f);
  std::vector<float> scores(2 * trees->outputs());
  trees->ScoreRows(row, absl::MakeSpan(scores));
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  seer::Decode(bytes);
  seer::Decode(seer::WithGoodChecksum(bytes));
  seer::Trees(bytes);
  return 0;
}
