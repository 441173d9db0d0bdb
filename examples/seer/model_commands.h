// The commands of the tool that make models and look into them: train, export-model, and inspect
// where it is given a model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace seer_tool {

struct TrainArgs {
  std::vector<std::string> datasets, validation;
  std::string output, config = "hybrid", inputs = "auto", backend = "auto", labels;
  std::uint32_t ticks = 20, epochs = 20, batch = 0, threads = 1, patience = 4, memory_mb = 0;
  std::uint64_t seed = 1;
  double learning_rate = 1e-3, l2 = 0, clip = 5, focal = 0, most_weight = 30, horizon_ms = 300;
  bool resume = false, weights_only = false, json = false, quiet = false;
};
int RunTrain(const TrainArgs& args);

struct ExportModelArgs {
  std::string model, output;
};
int RunExportModel(const ExportModelArgs& args);

// Whether the file begins as a model does.
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
