// The commands of the tool that make models and look into them: train, export-model, and inspect
// where it is given a model.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/seer/recorded.h"
#include "seer/nn/checkpoint.h"

namespace CLI {
class App;
}

namespace seer_tool {

struct TrainArgs {
  std::vector<std::string> datasets, validation;
  std::string output, config = "trees", inputs = "auto", backend = "auto", labels;
  std::uint32_t ticks = 20, epochs = 20, batch = 0, threads = 1, patience = 4, memory_mb = 0;
  std::uint64_t seed = 1;
  double learning_rate = 1e-3, l2 = 0, clip = 5, focal = 0, most_weight = 30, horizon_ms = 300;
  double false_alarms = 1, search_s = 0;
  bool resume = false, weights_only = false, json = false, quiet = false;
};
int RunTrain(const TrainArgs& args);
// --config trees: boosted trees (predict/tree_model.h).
absl::Status TrainTreeModel(const TrainArgs& args);
// Calibrates a network on the validation runs and writes its alarm into the checkpoint; what it
// chose. InvalidArgument: too little to choose from.
absl::StatusOr<std::vector<std::pair<std::string, double>>> ChooseAlarm(
    const std::vector<Part>& validation, double false_alarms, const std::string& backend,
    seer::Checkpoint* checkpoint);
void PrintFacts(const std::string& model, const std::vector<std::pair<std::string, double>>& facts,
                bool json);

struct ExportModelArgs {
  std::string model, output;
};
int RunExportModel(const ExportModelArgs& args);

// Whether the file begins as a model does, of either kind.
bool IsModel(const std::string& path);
int RunInspectModel(const std::string& path, bool json);

// Registers `train` and `export-model`, and says which one was called: its exit code, or -1.
class ModelCommands {
 public:
  explicit ModelCommands(CLI::App& app);
  int Run() const;

 private:
  CLI::App *train_, *export_model_;
  TrainArgs train_args_;
  ExportModelArgs export_model_args_;
};

}  // namespace seer_tool
