// `seer eval`: how good a model, or a rival, is on recorded runs whose violations are known.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/predict/tick_predictor.h"

namespace CLI {
class App;
}

namespace seer_tool {

struct ChosenPredictor {
  std::unique_ptr<seer::TickPredictor> predictor;
  std::int64_t horizon_ns;  // of its alarm
};
// By the file of a model, or the name of a rival. `threshold`: of the alarm; 0: its own.
absl::StatusOr<ChosenPredictor> ChoosePredictor(const std::string& model, double threshold);

// Registers the command, and runs it where it was called: its exit code, or -1.
class EvalCommand {
 public:
  explicit EvalCommand(CLI::App& app);
  int Run() const;

 private:
  CLI::App* command_;
  std::string model_, labels_;
  std::vector<std::string> datasets_;
  double threshold_ = 0;
  bool json_ = false;
};

}  // namespace seer_tool
