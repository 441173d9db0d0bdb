// What the control plane foresees with: a trained model that goes on learning while it serves, or
// without one the simple way that needs no training. It is kept in the deployment's directory, so
// that a control plane that is started again goes on with what was learnt.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "deployment.h"
#include "seer/core/action_taken.h"
#include "seer/core/forecast.h"
#include "seer/core/topology.h"
#include "seer/predict/predictor.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/retrainer_thread.h"
#include "seer/window/cluster_tick.h"

namespace social {

class ServingModel {
 public:
  // `file`: where there is no model from an earlier life; empty: none. Throws std::runtime_error.
  ServingModel(const Deployment& deployment, const std::string& file,
               const seer::PredictorOptions& options);

  seer::Predictor& predictor() { return *predictor_; }

  // What came, what was foreseen, and what was done about it: each tick.
  void Learn(const std::vector<seer::ClusterTick>& ticks, const seer::Topology& topology,
             const seer::Forecast& forecast);
  void NoteAction(const seer::ActionTaken& taken);
  // What it tried to learn since the last call, for people: "<what> <version> <why not>".
  std::vector<std::vector<std::string>> TakeDecisions();

  // Now and then.
  void Save();
  // What is kept belongs to another model from now on.
  static void Forget(const Deployment& deployment);

 private:
  void Begin(const std::string& bytes);

  const Deployment& deployment_;
  std::unique_ptr<seer::Predictor> predictor_;
  std::unique_ptr<seer::Retrainer> retrainer_;  // null: what serves cannot go on learning
  std::mutex mutex_;
  std::optional<std::string> next_;  // guarded by mutex_: a model that looks on, not stored yet
  bool looks_on_ = false;            // a stored one does
  std::unique_ptr<seer::RetrainerThread> thread_;
};

// A file of the deployment's directory; "": there is none.
std::string LoadFile(const Deployment& deployment, const std::string& name);
// Whole, or not at all.
void StoreFile(const Deployment& deployment, const std::string& name, const std::string& bytes);

}  // namespace social
