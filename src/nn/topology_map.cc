#include "seer/nn/topology_map.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace {

// The values of a larger network, from those of a smaller one that differs by blocks at the end:
// tensors have more rows behind the others (features), or columns between those of the services and
// of the extras (outputs). What is new is `fresh`, in the columns of the head's bias `bias`.
std::vector<float> Grow(const Network& from, const Network& to, const std::vector<float>& values,
                        float bias) {
  std::vector<float> grown(to.parameters(), 0.0f);
  for (std::size_t i = 0; i < from.tensors().size(); ++i) {
    const Tensor& a = from.tensors()[i];
    const Tensor& b = to.tensors()[i];
    SEER_DCHECK(a.name == b.name && a.rows <= b.rows && a.columns <= b.columns);
    const std::size_t added = b.columns - a.columns;  // of services, ahead of the extras
    const std::size_t front = added == 0 ? a.columns : from.services();
    for (std::size_t row = 0; row < a.rows; ++row) {
      const float* const in = values.data() + a.offset + row * a.columns;
      float* const out = grown.data() + b.offset + row * b.columns;
      std::copy_n(in, front, out);
      std::copy_n(in + front, a.columns - front, out + front + added);
      if (a.name == "head.bias") std::fill_n(out + front, added, bias);
    }
  }
  return grown;
}

}  // namespace

absl::StatusOr<Checkpoint> MapOnto(const Checkpoint& checkpoint,
                                   absl::Span<const std::string> services,
                                   const MapOptions& options) {
  SEER_ASSIGN_OR_RETURN(const Network from, Network::Create(checkpoint.config));
  if (checkpoint.services.size() != from.services() ||
      checkpoint.parameters.size() != from.parameters()) {
    return absl::FailedPreconditionError(
        absl::StrCat("checkpoint: names ", checkpoint.services.size(), " services and has ",
                     checkpoint.parameters.size(), " weights, for ", from.services(), " and ",
                     from.parameters(), ": a checkpoint has to name its services to be mapped"));
  }
  std::set<std::string_view> wanted;
  for (const std::string& name : services) {
    if (name.empty() || name.size() > 255) {
      return absl::InvalidArgumentError(
          absl::StrCat("service: a name of ", name.size(), " bytes: give 1 to 255"));
    }
    if (!wanted.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("service '", name, "' is there twice: remove one"));
    }
  }
  Checkpoint mapped = checkpoint;
  std::set<std::string_view> known;
  for (const ServiceSlot& slot : checkpoint.services) known.insert(slot.name);
  for (ServiceSlot& slot : mapped.services) slot.live = wanted.count(slot.name) > 0;
  std::uint32_t added = 0;
  for (const std::string& name : services) {
    if (known.count(name) > 0) continue;
    mapped.services.push_back({name, true});
    ++added;
  }
  if (mapped.training) {
    // The windows are others now. The moments stay.
    TrainingState& state = *mapped.training;
    state.windows = state.epoch = state.step = state.epochs_since_best = 0;
    state.epoch_loss = LossSum();
    state.validation_loss = state.best_loss = std::nullopt;
    state.finished = false;
    state.best.clear();
  }
  if (added == 0) return mapped;
  for (const LayerConfig& layer : checkpoint.config.trunk) {
    if (layer.kind != LayerKind::kPool || options.may_change_old_outputs) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("model '", checkpoint.config.name, "' pools over all services: ", added,
                     " new ones change what the old ones get: set may_change_old_outputs and "
                     "validate the model anew"));
  }

  mapped.config.blocks.push_back(added);
  SEER_ASSIGN_OR_RETURN(const Network to, Network::Create(mapped.config));
  float prior = options.prior.value_or(0.0f);
  if (const Tensor* bias = from.Find("head.bias"); !options.prior && bias != nullptr) {
    double sum = 0;
    std::size_t live = 0;
    for (std::size_t s = 0; s < from.services() && bias->columns > 1; ++s) {
      if (!checkpoint.services[s].live) continue;
      sum += static_cast<double>(checkpoint.parameters[bias->offset + s]);
      ++live;
    }
    if (live > 0) prior = static_cast<float>(sum / static_cast<double>(live));
  }
  mapped.parameters = Grow(from, to, checkpoint.parameters, prior);
  if (mapped.training) {
    OptimizerState& state = mapped.training->optimizer;
    if (state.mean.size() != from.parameters() || state.square.size() != from.parameters()) {
      return absl::InvalidArgumentError(
          "checkpoint: the moments are of another network: leave training out");
    }
    state.mean = Grow(from, to, state.mean, 0);
    state.square = Grow(from, to, state.square, 0);
  }
  return mapped;
}

SEER_END_NAMESPACE
