// What is learnt from a run of this application: its ticks are recorded with what was true of them,
// and a model is trained with that. The files are datasets: `seer train` and the rest of the tool
// `seer` read them too.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "judge.h"
#include "seer/core/topology.h"
#include "seer/dataset/writer.h"
#include "seer/window/cluster_tick.h"

namespace social {

// More people would not listen to.
inline constexpr double kFalseAlarmsPerHour = 30;

// Of the control plane: a run for each of its lives, behind what is in the file.
class Recording {
 public:
  // Throws std::runtime_error.
  Recording(const std::string& path, const std::string& name);
  void Add(const seer::ClusterTick& tick, const seer::Topology& topology);

 private:
  std::optional<seer::DatasetWriter> writer_;
};

// Runs that the file has: 0 where there is none.
std::size_t RunsIn(const std::string& path);
// Which targets were missed in the runs from `first` on, and which faults were behind it.
void AddTruth(const std::string& path, std::size_t first, const Record& record);

// A model of all runs in the file, of which the last parts are kept back to choose the alarm by.
// What came of it, for people; throws std::runtime_error where there was too little to learn from.
std::string Train(const std::string& recording, const std::string& model, std::uint64_t seed);

}  // namespace social
