// A process that does nothing but load a model and compute, or train: what it costs in memory and
// until the first forecast is there. Prints
//
//   <ms from main() to the first result> <resident MB then> <most that it was, MB>
//
//   nn_footprint write FILE | infer FILE | train FILE
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/nn/flat.h"
#include "seer/nn/backend.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/optimizer.h"
#include "seer/nn/trainer.h"

namespace {

// VmRSS, VmHWM. With the system's calls: what streams need would be counted as the network's.
double Megabytes(const char* what) {
  char text[8192];
  const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  text[size < 0 ? 0 : size] = '\0';
  const char* const line = std::strstr(text, what);
  return line == nullptr ? 0 : std::strtod(line + std::strlen(what) + 1, nullptr) / 1024;
}

// What a host has in its hands once there is a result: memory is measured while it is there.
struct Inference {
  std::unique_ptr<seer::InferenceEngine> engine;
  std::unique_ptr<seer::Workspace> workspace;
  std::vector<float> inputs, out;
};

bool Infer(const std::string& path, Inference* all) {
  {
    auto checkpoint = seer::LoadCheckpoint(path);
    if (!checkpoint.ok()) return false;
    const auto network = seer::Network::Create(checkpoint->config);
    auto made =
        seer::FindBackend("auto")->NewInferenceTaking(*network, std::move(checkpoint->parameters));
    if (!made.ok()) return false;
    all->engine = *std::move(made);
  }
  all->workspace = *all->engine->NewWorkspace(1);
  all->inputs.assign(all->engine->network().window_values(), 0.5f);
  all->out.resize(all->engine->network().outputs());
  return all->engine->Run(all->inputs, 1, all->workspace.get(), absl::MakeSpan(all->out)).ok();
}

bool Train() {
  const auto network = seer::Network::Create(*seer::ModelConfig::Named("flat", 386));
  seer::MemorySource source(*network);
  const std::vector<float> inputs(network->window_values(), 0.5f);
  seer::MemorySource::Truth truth;
  for (truth.initiator = 0; truth.initiator < 32; ++truth.initiator) {
    if (!source.Add(inputs, truth).ok()) return false;
  }
  seer::TrainerOptions options;
  options.epochs = 3;
  options.memory_budget = 9 << 20;
  auto trainer = seer::Trainer::Create(*network, options);
  return trainer.ok() && (*trainer)->Train(source).ok();
}

int Run(const std::string& what, const std::string& path) {
  const auto begin = std::chrono::steady_clock::now();
  if (what == "write") {
    const seer::bench::Flat flat(386);
    seer::Checkpoint checkpoint;
    checkpoint.config = flat.network.config();
    checkpoint.parameters = flat.weights;
    return seer::SaveCheckpoint(checkpoint, path).ok() ? 0 : 1;
  }
  Inference inference;
  if (!(what == "infer" ? Infer(path, &inference) : Train())) return 1;
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%.4f %.3f %.3f\n", ms, Megabytes("VmRSS"), Megabytes("VmHWM"));
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return argc == 3 ? Run(argv[1], argv[2]) : 2; }
