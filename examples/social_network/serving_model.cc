#include "serving_model.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "checked.h"
#include "learning.h"
#include "seer/predict/model_store.h"
#include "seer/predict/tree_model.h"

namespace social {
namespace {

// Its state is the predictor's: both together, or neither.
constexpr char kState[] = "predictor.state";
constexpr char kServing[] = "model.serving", kNext[] = "model.next";

std::string BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

}  // namespace

std::string LoadFile(const Deployment& deployment, const std::string& name) {
  return BytesOf(deployment.directory() + "/" + name);
}

void StoreFile(const Deployment& deployment, const std::string& name, const std::string& bytes) {
  const std::string path = deployment.directory() + "/" + name;
  {
    std::ofstream file(path + ".new", std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::rename((path + ".new").c_str(), path.c_str());
}

ServingModel::ServingModel(const Deployment& deployment, const std::string& file,
                           const seer::PredictorOptions& options)
    : deployment_(deployment) {
  std::string serving = LoadFile(deployment, kServing);
  if (serving.empty() && !file.empty()) {
    serving = BytesOf(file);
    if (serving.empty()) throw std::runtime_error(file + ": there is no model");
    StoreFile(deployment, kServing, serving);
  }
  if (serving.empty()) {
    predictor_ = Value(seer::Predictor::Create(options));
  } else {
    predictor_ = Value(seer::Predictor::Create(Value(seer::MakeModelOf(serving)), options));
    if (const std::string next = LoadFile(deployment, kNext); !next.empty()) {
      predictor_->UseModel(Value(seer::MakeModelOf(next)));
      looks_on_ = true;
      serving = next;
    }
    Begin(serving);
  }
  if (const std::string state = LoadFile(deployment, kState); !state.empty()) {
    // A state that is not right costs what was learnt, and nothing else.
    predictor_->LoadState(state).IgnoreError();
  }
}

void ServingModel::Begin(const std::string& bytes) {
  if (!seer::IsTreeModel(bytes)) return;
  seer::RetrainerOptions options;
  options.false_alarms_per_hour = kFalseAlarmsPerHour;
  retrainer_ = Value(seer::Retrainer::Create(Value(seer::DecodeTreeModel(bytes)), options));
  seer::RetrainerThreadOptions modest;
  modest.cpu_share = 0.02;  // of one core
  thread_ = std::make_unique<seer::RetrainerThread>(
      retrainer_.get(),
      [this](std::string model) {
        auto made = seer::MakeModelOf(model);
        if (!made.ok()) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        predictor_->UseModel(*std::move(made));
        next_ = std::move(model);
      },
      modest);
}

void ServingModel::Learn(const std::vector<seer::ClusterTick>& ticks,
                         const seer::Topology& topology, const seer::Forecast& forecast) {
  if (retrainer_ == nullptr) return;
  // A tick that it refuses teaches nothing.
  for (const seer::ClusterTick& tick : ticks) retrainer_->Observe(tick, topology).IgnoreError();
  retrainer_->NoteForecast(forecast);
}

void ServingModel::NoteAction(const seer::ActionTaken& taken) {
  if (retrainer_ != nullptr) retrainer_->NoteAction(taken);
}

std::vector<std::vector<std::string>> ServingModel::TakeDecisions() {
  std::vector<std::vector<std::string>> told;
  if (retrainer_ == nullptr) return told;
  for (const seer::RetrainDecision& decision : retrainer_->TakeDecisions()) {
    told.push_back({std::string(seer::RetrainStageName(decision.stage)),
                    std::to_string(decision.version),
                    decision.replaced ? "better" : decision.reason});
  }
  return told;
}

void ServingModel::Save() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (next_) {
    StoreFile(deployment_, kNext, *next_);
    next_.reset();
    looks_on_ = true;
  } else if (looks_on_ && predictor_->health().next_model.empty()) {
    const std::string path = deployment_.directory() + "/";
    std::rename((path + kNext).c_str(), (path + kServing).c_str());
    looks_on_ = false;
  }
  std::string state;
  if (predictor_->SaveState(&state).ok()) StoreFile(deployment_, kState, state);
}

void ServingModel::Forget(const Deployment& deployment) {
  for (const char* name : {kState, kServing, kNext}) {
    std::error_code none;
    std::filesystem::remove(deployment.directory() + "/" + name, none);
  }
}

}  // namespace social
