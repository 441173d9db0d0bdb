// seer train: recorded runs into a model.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/seer/args.h"
#include "examples/seer/model_commands.h"
#include "examples/seer/recorded.h"
#include "seer/core/topology_order.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/split.h"
#include "seer/nn/backend.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/trainer.h"
#include "seer/predict/training_set.h"

namespace seer_tool {
namespace {

volatile std::sig_atomic_t interrupted = 0;

// What the recording shows of all that could be asked of it.
absl::StatusOr<seer::WindowInputs> ChooseInputs(const Part& part, const std::string& name) {
  if (name == "traces") return seer::WindowInputs::OfTraces();
  if (name == "nic") return seer::WindowInputs::Of(seer::ChannelMask::NicOnly());
  if (name == "kernel") return seer::WindowInputs::Of(seer::ChannelMask::KernelOnly());
  if (name == "app") return seer::WindowInputs::Of(seer::ChannelMask::AppOnly());
  const seer::WindowInputs all = seer::WindowInputs::Of(seer::ChannelMask::All());
  auto builder = seer::WindowBuilder::Create(part.topology, 1, all);
  if (!builder.ok()) return builder.status();
  std::vector<bool> seen(all.size());
  int left = 2000;
  const absl::Status status = ForEachTick(part, [&](const seer::ClusterTick& tick) {
    if (--left < 0) return absl::CancelledError("enough");
    builder->Push(tick, part.topology);
    const seer::Window& window = builder->window();
    for (std::size_t i = 0; i < window.seen.size(); ++i) {
      if (window.seen[i] != 0) seen[i % all.size()] = true;
    }
    return absl::OkStatus();
  });
  if (!status.ok() && status.code() != absl::StatusCode::kCancelled) return status;
  std::vector<seer::WindowInput> chosen;
  for (std::size_t c = 0; c < all.size(); ++c) {
    if (seen[c]) chosen.push_back(all.list()[c]);
  }
  if (chosen.empty()) {
    return absl::InvalidArgumentError("the dataset shows no depths: import it with its traces");
  }
  return seer::WindowInputs(chosen);
}

absl::Status Fit(const std::vector<Part>& parts, seer::ModelInputs* inputs) {
  seer::NormalizerFitter fitter(inputs->inputs);
  const absl::Span<const seer::Service> first = parts[0].topology.services();
  for (const Part& part : parts) {
    // The fitter knows one numbering. A run with another one takes the scales by name.
    const absl::Span<const seer::Service> services = part.topology.services();
    bool same = true;
    for (std::size_t s = 0; s < std::min(first.size(), services.size()); ++s) {
      same = same && first[s].name == services[s].name;
    }
    if (!same) continue;
    const absl::Status status = ForEachTick(part, [&](const seer::ClusterTick& tick) {
      fitter.Observe(tick, part.topology);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    fitter.NextRun();
  }
  inputs->normalizer = fitter.Fit();
  return absl::OkStatus();
}

absl::Status FillSet(const std::vector<Part>& parts, seer::TrainingSet* set) {
  for (const Part& part : parts) {
    absl::Status status = set->BeginRun(part.topology);
    if (status.ok()) {
      status = ForEachTick(
          part, [&](const seer::ClusterTick& tick) { return set->Add(tick, part.topology); });
    }
    if (status.ok()) status = set->EndRun(part.violations);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<seer::ModelConfig> ConfigOf(const TrainArgs& args, const seer::ModelInputs& inputs,
                                           std::size_t services) {
  absl::StatusOr<seer::ModelConfig> config;
  if (std::filesystem::exists(args.config)) {
    std::ifstream file(args.config);
    config = seer::ModelConfig::Parse(
        std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()));
    if (config.ok() && config->services() != services) {
      config->blocks = {static_cast<std::uint32_t>(services)};
    }
  } else {
    config = seer::ModelConfig::Named(args.config, services, inputs.inputs.size(), args.ticks);
  }
  if (!config.ok()) return config;
  config->ticks = args.ticks;
  config->inputs = static_cast<std::uint32_t>(inputs.inputs.size());
  config->output = seer::OutputKind::kSoftmax;
  config->extras = seer::ModelInputs::kExtras;
  if (!config->trunk.empty()) {  // hazards look at the whole application
    config->hazard_classes = static_cast<std::uint32_t>(inputs.classes.size());
    config->hazard_horizons =
        inputs.classes.empty() ? 0 : static_cast<std::uint32_t>(inputs.horizons_ns.size());
  }
  return config;
}

// Shares of windows, not of violations: those are judged by the evaluation.
struct Score {
  std::uint64_t ahead = 0, told = 0, right = 0, quiet = 0, false_told = 0;
};
absl::StatusOr<Score> ScoreOf(const seer::Network& network, absl::Span<const float> parameters,
                              const std::string& backend, seer::TrainingSet* set) {
  auto engine = seer::FindBackend(backend)->NewInference(network, parameters);
  if (!engine.ok()) return engine.status();
  auto workspace = (*engine)->NewWorkspace(1);
  if (!workspace.ok()) return workspace.status();
  std::vector<float> out(network.outputs());
  const auto services = static_cast<std::ptrdiff_t>(network.services());
  const auto none = static_cast<std::int32_t>(network.services() + seer::ModelInputs::kNoViolation);
  Score score;
  seer::TrainingBatch batch;
  for (std::uint64_t w = 0; w < set->windows(); ++w) {
    absl::Status status = set->Fill({w}, &batch);
    if (!status.ok()) return status;
    const std::int32_t truth = batch.initiator[0];
    if (truth < 0) continue;
    status = (*engine)->Run(batch.inputs, 1, workspace->get(), absl::MakeSpan(out));
    if (!status.ok()) return status;
    const auto end = out.begin() + static_cast<std::ptrdiff_t>(network.initiators());
    const bool told = std::max_element(out.begin(), end) - out.begin() != none;
    if (truth == none) {
      ++score.quiet;
      score.false_told += told ? 1 : 0;
    } else {
      ++score.ahead;
      score.told += told ? 1 : 0;
      const auto who = std::max_element(out.begin(), out.begin() + services) - out.begin();
      score.right += who == truth ? 1 : 0;
    }
  }
  return score;
}

double Share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

void Draw(const seer::TrainingProgress& p) {
  constexpr int kWidth = 24;
  const double all = static_cast<double>(p.epochs) * static_cast<double>(p.steps_per_epoch);
  const double done = static_cast<double>(p.epoch) * static_cast<double>(p.steps_per_epoch) +
                      static_cast<double>(p.step);
  const double share = all <= 0 ? 0 : std::min(done / all, 1.0);
  const std::string bar(static_cast<std::size_t>(share * kWidth), '#');
  std::fprintf(
      stderr, "\r[%-*s] epoch %llu/%llu  loss %.4f  validation %s  %.0f windows/s  %.0f s left ",
      kWidth, bar.c_str(), static_cast<unsigned long long>(std::min(p.epoch + 1, p.epochs)),
      static_cast<unsigned long long>(p.epochs), p.loss,
      p.validation_loss ? Short(*p.validation_loss).c_str() : "-", p.windows_per_s, p.remaining_s);
}

absl::Status Train(const TrainArgs& args) {
  const auto readers = OpenAll(args.datasets);
  if (!readers.ok()) return readers.status();
  const auto validation_readers = OpenAll(args.validation);
  if (!validation_readers.ok()) return validation_readers.status();
  const auto parts = PartsOf(*readers, seer::SplitPart::kTrain, args.labels);
  if (!parts.ok()) return parts.status();
  if (parts->empty()) {
    return absl::InvalidArgumentError(
        "the datasets have no ticks for training: import a recording");
  }
  bool split = false;
  for (const auto& reader : *readers) split = split || !reader->manifest().split.empty();
  absl::StatusOr<std::vector<Part>> validation_parts = std::vector<Part>();
  if (!args.validation.empty()) {
    validation_parts = PartsOf(*validation_readers, std::nullopt, args.labels);
  } else if (split) {
    validation_parts = PartsOf(*readers, seer::SplitPart::kValidation, args.labels);
  }
  if (!validation_parts.ok()) return validation_parts.status();

  // The model's facts: those of the checkpoint, or new ones.
  seer::Checkpoint checkpoint;
  seer::ModelInputs inputs;
  std::vector<std::string> services;
  if (args.resume) {
    auto loaded = seer::LoadCheckpoint(args.output);
    if (!loaded.ok()) return loaded.status();
    checkpoint = *std::move(loaded);
    auto decoded = seer::DecodeModelInputs(checkpoint.sections[seer::ModelInputs::kSection]);
    if (!decoded.ok()) return decoded.status();
    inputs = *std::move(decoded);
    for (const seer::ServiceSlot& slot : checkpoint.services) services.push_back(slot.name);
  } else {
    const Part& first = parts->front();
    inputs.period = first.reader->manifest().runs[first.run].period;
    auto chosen = ChooseInputs(first, args.inputs);
    if (!chosen.ok()) return chosen.status();
    inputs.inputs = *chosen;
    for (const int ms : {100, 200, 300, 500, 1000, 2000}) {
      inputs.horizons_ns.push_back(ms * std::int64_t{1'000'000});
    }
    inputs.initiator_horizon_ns = std::llround(args.horizon_ms * 1e6);
    for (const seer::RequestClass& row : first.topology.classes()) {
      if (!row.removed) inputs.classes.push_back(row.name);
    }
    std::sort(inputs.classes.begin(), inputs.classes.end());
    inputs.classes.erase(std::unique(inputs.classes.begin(), inputs.classes.end()),
                         inputs.classes.end());
    if (const absl::Status status = Fit(*parts, &inputs); !status.ok()) return status;
    for (const seer::ServiceId id : seer::OrderServices(first.topology).services) {
      services.push_back(first.topology.service(id).name);
    }
    auto config = ConfigOf(args, inputs, services.size());
    if (!config.ok()) return config.status();
    checkpoint.config = *config;
    for (const std::string& name : services) checkpoint.services.push_back({name, true});
    checkpoint.sections[seer::ModelInputs::kSection] = seer::EncodeModelInputs(inputs);
  }
  auto network = seer::Network::Create(checkpoint.config);
  if (!network.ok()) return network.status();
  const bool hazards = network->hazards() > 0;
  auto set = seer::TrainingSet::Create(inputs, services, checkpoint.config.ticks, hazards);
  if (!set.ok()) return set.status();
  auto validation = seer::TrainingSet::Create(inputs, services, checkpoint.config.ticks, hazards);
  if (!validation.ok()) return validation.status();
  if (const absl::Status status = FillSet(*parts, &*set); !status.ok()) return status;
  if (const absl::Status status = FillSet(*validation_parts, &*validation); !status.ok()) {
    return status;
  }
  std::uint64_t ahead = 0;
  for (std::size_t i = 0; i < set->counts().size(); ++i) {
    ahead += i == services.size() + seer::ModelInputs::kNoViolation ? 0 : set->counts()[i];
  }
  if (ahead == 0) {
    return absl::InvalidArgumentError(
        "no window is ahead of a violation whose initiator is known: label the dataset first "
        "(`seer label`), or import it with violations.csv");
  }

  seer::TrainerOptions options;
  options.backend = args.backend;
  options.batch = args.batch;
  options.epochs = args.epochs;
  options.threads = args.threads;
  options.seed = args.seed;
  options.patience = args.patience;
  options.memory_budget = std::size_t{args.memory_mb} << 20;
  options.optimizer.learning_rate = static_cast<float>(args.learning_rate);
  options.optimizer.l2 = static_cast<float>(args.l2);
  options.optimizer.clip_norm = static_cast<float>(args.clip);
  options.loss.focal_gamma = static_cast<float>(args.focal);
  options.loss.output_weights = set->OutputWeights(args.most_weight);
  const bool bar = !args.quiet && !args.json && isatty(STDERR_FILENO) != 0;
  auto drawn = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  options.progress_every = 1;
  options.on_progress = [&](const seer::TrainingProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (bar && now - drawn > std::chrono::milliseconds(100)) {
      Draw(progress);
      drawn = now;
    }
    return interrupted == 0;
  };
  auto trainer = seer::Trainer::Create(*network, options);
  if (!trainer.ok()) return trainer.status();
  if (args.resume) {
    // An interrupted training goes on; a finished one, or one on other windows, begins another
    // round with the weights of the last.
    const bool same = checkpoint.training && !checkpoint.training->finished &&
                      checkpoint.training->windows == set->windows();
    const absl::Status status =
        same ? (*trainer)->Restore(checkpoint.parameters, *checkpoint.training)
             : (*trainer)->SetParameters(checkpoint.parameters);
    if (!status.ok()) return status;
  }
  const absl::Status trained =
      (*trainer)->Train(*set, validation->windows() > 0 ? &*validation : nullptr);
  if (bar) std::fprintf(stderr, "\r%*s\r", 110, "");
  if (!trained.ok()) return trained;

  checkpoint.parameters.assign((*trainer)->parameters().begin(), (*trainer)->parameters().end());
  checkpoint.training.reset();
  if (!args.weights_only) checkpoint.training = (*trainer)->state();
  for (std::size_t i = 0; i < args.datasets.size() && i < 100; ++i) {
    checkpoint.provenance[absl::StrCat("dataset ", i)] = args.datasets[i];
  }
  checkpoint.provenance["made by"] = "seer train";
  checkpoint.provenance["asked for"] = args.config;
  std::vector<std::pair<std::string, double>> alarm_facts;
  if (interrupted == 0 && !validation_parts->empty()) {
    auto chosen = ChooseAlarm(*validation_parts, args.false_alarms, args.backend, &checkpoint);
    // Where validation has no violation, the threshold stays what it is without: one half.
    if (!chosen.ok() && !absl::IsInvalidArgument(chosen.status())) return chosen.status();
    if (chosen.ok()) alarm_facts = *std::move(chosen);
  }
  if (const absl::Status status = seer::SaveCheckpoint(checkpoint, args.output); !status.ok()) {
    return status;
  }

  const seer::TrainingState& state = (*trainer)->state();
  std::vector<std::pair<std::string, double>> facts = {
      {"finished", state.finished ? 1 : 0},
      {"epochs", static_cast<double>(state.epoch)},
      {"weights", static_cast<double>(network->parameters())},
      {"windows", static_cast<double>(set->windows())},
      {"windows ahead of a violation", static_cast<double>(ahead)}};
  for (const bool of_validation : {false, true}) {
    seer::TrainingSet& scored = of_validation ? *validation : *set;
    if (scored.windows() == 0 || interrupted != 0) continue;
    const auto score = ScoreOf(*network, (*trainer)->parameters(), args.backend, &scored);
    if (!score.ok()) return score.status();
    const std::string where = of_validation ? "validation " : "training ";
    facts.emplace_back(where + "culprit right", Share(score->right, score->ahead));
    facts.emplace_back(where + "told ahead", Share(score->told, score->ahead));
    facts.emplace_back(where + "told in vain", Share(score->false_told, score->quiet));
  }
  if (state.best_loss) facts.emplace_back("validation loss", *state.best_loss);
  for (const auto& fact : alarm_facts) facts.push_back(fact);
  PrintFacts(args.output, facts, args.json);
  if (interrupted != 0 && !args.json) {
    std::printf("stopped; `seer train --resume` with the same options goes on\n");
  }
  return absl::OkStatus();
}

}  // namespace

void PrintFacts(const std::string& model, const std::vector<std::pair<std::string, double>>& facts,
                bool json_wanted) {
  if (json_wanted) {
    JsonWriter json;
    json.Open('{').Key("model").Text(model);
    for (const auto& [name, value] : facts) json.Key(name).Number(value);
    json.Close('}').Print();
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : facts) rows.push_back({name, Short(value)});
  PrintTable(rows);
}

int RunTrain(const TrainArgs& args) {
  if (seer::FindBackend(args.backend) == nullptr) {
    return Fail(
        absl::InvalidArgumentError("--backend: unknown: give auto, native, eigen or reference"));
  }
  // A model that is there goes on as what it is.
  if (args.config == "trees" && !args.resume) {
    const absl::Status status = TrainTreeModel(args);
    return status.ok() ? kOk : Fail(status);
  }
  // Ctrl-C ends the training, not the program: what was learnt is saved.
  const auto old = std::signal(SIGINT, [](int) { interrupted = 1; });
  const absl::Status status = Train(args);
  std::signal(SIGINT, old);
  return status.ok() ? kOk : Fail(status);
}

}  // namespace seer_tool
