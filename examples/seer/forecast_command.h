// `seer forecast`: what a model, or a rival, would have foreseen of a recorded run.
#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace seer_tool {

// Registers the command, and runs it where it was called: its exit code, or -1.
class ForecastCommand {
 public:
  explicit ForecastCommand(CLI::App& app);
  int Run() const;

 private:
  CLI::App* command_;
  std::string model_, dataset_;
  std::uint32_t run_ = 0;
  double threshold_ = 0, horizon_ms_ = 0;
  bool csv_ = false, json_ = false;
};

}  // namespace seer_tool
