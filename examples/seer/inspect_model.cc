// seer inspect MODEL, seer export-model MODEL: a look into a trained model, and out of it.
#include <CLI/CLI.hpp>
#include <array>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "examples/seer/args.h"
#include "examples/seer/model_commands.h"
#include "seer/nn/backend.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/onnx.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/tree_model.h"

namespace seer_tool {
namespace {

std::string Many(std::size_t n) { return std::to_string(n); }

void Print(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::size_t width = 0;
  for (const auto& fact : facts) width = std::max(width, fact.first.size());
  for (const auto& [name, value] : facts) {
    std::printf("%-*s  %s\n", static_cast<int>(width), name.c_str(), value.c_str());
  }
}

int InspectTrees(const std::string& path, bool json_wanted) {
  const auto model = seer::LoadTreeModel(path);
  if (!model.ok()) return Fail(model.status());
  std::string reads, horizons;
  for (const seer::Channel channel : seer::kAllChannels) {
    if (!model->inputs.channels.Has(channel)) continue;
    absl::StrAppend(&reads, reads.empty() ? "" : ", ", std::string(seer::ChannelName(channel)));
  }
  if (model->inputs.edges) absl::StrAppend(&reads, ", edges");
  if (model->inputs.latency) absl::StrAppend(&reads, ", latency");
  for (const std::int64_t horizon : model->horizons_ns) {
    absl::StrAppend(&horizons, horizons.empty() ? "" : ", ", horizon / 1'000'000);
  }
  std::vector<std::pair<std::string, std::string>> facts = {
      {"configuration", "trees"},
      {"reads", reads},
      {"tick", Short(static_cast<double>(model->period.ns()) / 1e6) + " ms"},
      {"horizons", horizons + " ms"},
      {"trees", Many(model->violations.size())},
      {"trees for initiators", Many(model->initiators.size())},
      {"alarm horizon", Many(model->calibration.alarm_horizon_ns / 1'000'000) + " ms"},
      {"alarm threshold", Short(model->calibration.threshold)}};
  for (const auto& [key, value] : model->provenance) facts.emplace_back(key, value);
  if (json_wanted) {
    JsonWriter json;
    json.Open('{');
    for (const auto& [name, value] : facts) json.Key(name).Text(value);
    json.Close('}').Print();
  } else {
    Print(facts);
  }
  return kOk;
}

}  // namespace

bool IsModel(const std::string& path) {
  std::array<char, 8> begin{};
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), begin.size());
  return (file && std::memcmp(begin.data(), "SEERNN\r\n", begin.size()) == 0) ||
         seer::IsTreeModelFile(path);
}

int RunInspectModel(const std::string& path, bool json_wanted) {
  if (seer::IsTreeModelFile(path)) return InspectTrees(path, json_wanted);
  const auto checkpoint = seer::LoadCheckpoint(path);
  if (!checkpoint.ok()) return Fail(checkpoint.status());
  const auto network = seer::Network::Create(checkpoint->config);
  if (!network.ok()) return Fail(network.status());
  const seer::ModelConfig& config = checkpoint->config;
  const seer::Network::LayerCounts layers = network->CountLayers();
  const seer::Backend& backend = *seer::FindBackend("auto");
  std::size_t live = 0;
  for (const seer::ServiceSlot& slot : checkpoint->services) live += slot.live ? 1 : 0;
  std::vector<std::pair<std::string, std::string>> facts = {
      {"configuration", config.name},
      {"services", Many(network->services())},
      {"live services", Many(live)},
      {"ticks", Many(config.ticks)},
      {"inputs", Many(config.inputs)},
      {"outputs", Many(network->outputs())},
      {"weights", Many(network->parameters())},
      {"convolution / dense / element-wise layers",
       absl::StrCat(layers.convolution, " / ", layers.dense, " / ", layers.element_wise)},
      {"backend here", absl::StrCat(std::string(backend.name()), ": ", backend.Description())}};
  const auto section = checkpoint->sections.find(seer::ModelInputs::kSection);
  if (section != checkpoint->sections.end()) {
    const auto inputs = seer::DecodeModelInputs(section->second);
    if (!inputs.ok()) return Fail(inputs.status());
    std::string names;
    for (const seer::WindowInput& input : inputs->inputs.list()) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", seer::WindowInputName(input));
    }
    facts.emplace_back("reads", names);
    facts.emplace_back("tick", Short(static_cast<double>(inputs->period.ns()) / 1e6) + " ms");
    facts.emplace_back("foresees the initiator within",
                       Short(static_cast<double>(inputs->initiator_horizon_ns) / 1e6) + " ms");
    std::string classes;
    for (const std::string& name : inputs->classes) {
      absl::StrAppend(&classes, classes.empty() ? "" : ", ", name);
    }
    facts.emplace_back("request classes", classes);
  }
  if (checkpoint->training) {
    const seer::TrainingState& state = *checkpoint->training;
    facts.emplace_back("training", state.finished ? "finished" : "interrupted");
    facts.emplace_back("epochs", Many(state.epoch));
    facts.emplace_back("training windows", Many(state.windows));
    if (state.best_loss) facts.emplace_back("best validation loss", Short(*state.best_loss));
  }
  for (const auto& [key, value] : checkpoint->provenance) facts.emplace_back(key, value);
  if (json_wanted) {
    JsonWriter json;
    json.Open('{');
    for (const auto& [name, value] : facts) json.Key(name).Text(value);
    json.Key("names").Open('[');
    for (const seer::ServiceSlot& slot : checkpoint->services) json.Text(slot.name);
    json.Close(']').Key("text").Text(config.ToText()).Close('}').Print();
    return kOk;
  }
  Print(facts);
  std::printf("\n%s", config.ToText().c_str());
  return kOk;
}

int RunExportModel(const ExportModelArgs& args) {
  const auto checkpoint = seer::LoadCheckpoint(args.model);
  if (!checkpoint.ok()) return Fail(checkpoint.status());
  const auto network = seer::Network::Create(checkpoint->config);
  if (!network.ok()) return Fail(network.status());
  const auto onnx = seer::EncodeOnnx(*network, checkpoint->parameters);
  if (!onnx.ok()) return Fail(onnx.status());
  std::ofstream file(args.output, std::ios::binary | std::ios::trunc);
  file.write(onnx->data(), static_cast<std::streamsize>(onnx->size()));
  file.close();
  if (!file) {
    return Fail(absl::UnavailableError(absl::StrCat(args.output, ": cannot be written")));
  }
  std::printf("%s: %zu bytes, opset %d\n", args.output.c_str(), onnx->size(), seer::kOnnxOpset);
  return kOk;
}

ModelCommands::ModelCommands(CLI::App& app) {
  TrainArgs& a = train_args_;
  train_ = app.add_subcommand("train", "makes a model of labelled datasets");
  train_->add_option("DATASET", a.datasets)->required();
  train_->add_option(
      "--validation", a.validation,
      "datasets for early stopping, calibration and the alarm; without: the validation "
      "part of the split, or for trees the last quarter of each run");
  train_->add_option("-o,--output", a.output, "the model")->required();
  train_->add_option("--config", a.config,
                     "trees; or a network: a named configuration, or a file (trees)");
  train_
      ->add_option("--false-alarms", a.false_alarms,
                   "an hour, near misses not counted: the alarm that foresees most with at most so "
                   "many on the validation runs (1)")
      ->check(CLI::NonNegativeNumber);
  train_
      ->add_option("--search", a.search_s,
                   "trees: tries other shapes for so many seconds, and keeps what is best on the "
                   "validation runs")
      ->check(CLI::NonNegativeNumber);
  train_->add_option("--inputs", a.inputs, "what it reads: auto is all that was recorded")
      ->check(CLI::IsMember({"auto", "traces", "nic", "kernel", "app"}));
  train_->add_option("--ticks", a.ticks, "of a window (20)")->check(CLI::Range(1, 1024));
  train_->add_option("--horizon-ms", a.horizon_ms, "who initiates a violation within it (300)")
      ->check(CLI::Range(1, 60000));
  train_->add_option("--labels", a.labels, "source of the violations, where there are several");
  train_->add_option("--epochs", a.epochs, "at most (20)")->check(CLI::PositiveNumber);
  train_->add_option("--patience", a.patience, "epochs without a better validation loss (4)");
  train_->add_option("--batch", a.batch, "windows per step; without: the configuration's");
  train_->add_option("--learning-rate", a.learning_rate, "(0.001)")->check(CLI::PositiveNumber);
  train_->add_option("--l2", a.l2, "decay of weights (0)")->check(CLI::NonNegativeNumber);
  train_->add_option("--clip", a.clip, "norm of the gradient at most; 0: any (5)");
  train_->add_option("--focal", a.focal, "gamma of the focal loss (0)");
  train_->add_option("--most-weight", a.most_weight,
                     "of a window ahead of a violation, at most (30)");
  train_->add_option("--threads", a.threads, "(1)")->check(CLI::Range(1, 256));
  train_->add_option("--memory-mb", a.memory_mb, "for training; 0: as much as a batch needs");
  train_->add_option("--seed", a.seed, "(1)");
  train_->add_option("--backend", a.backend, "(auto)");
  train_->add_flag(
      "--resume", a.resume,
      "goes on with the model that is there: an interrupted training, or another round");
  train_->add_flag("--weights-only", a.weights_only, "a third of the size; cannot be resumed");
  train_->add_flag("--json", a.json);
  train_->add_flag("--quiet", a.quiet, "no progress bar");

  export_model_ = app.add_subcommand("export-model", "writes a model as ONNX");
  export_model_->add_option("MODEL", export_model_args_.model)->required();
  export_model_->add_option("-o,--output", export_model_args_.output, "FILE.onnx")->required();
}

int ModelCommands::Run() const {
  if (*train_) return RunTrain(train_args_);
  if (*export_model_) return RunExportModel(export_model_args_);
  return -1;
}

}  // namespace seer_tool
