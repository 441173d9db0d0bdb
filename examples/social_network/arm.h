// One part of a run: a load, faults, and what seer does about them; recorded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "deployment.h"
#include "faults.h"
#include "judge.h"
#include "load.h"
#include "options.h"
#include "processes.h"

namespace social {

// seer's own processes: started again whenever they end, as an init system would.
class SeerProcesses {
 public:
  SeerProcesses(const Deployment& deployment, const Options& options, const std::string& cgroups,
                Processes* processes)
      : deployment_(deployment), options_(options), cgroups_(cgroups), processes_(processes) {}
  ~SeerProcesses() { Stop(); }
  SeerProcesses(const SeerProcesses&) = delete;
  SeerProcesses& operator=(const SeerProcesses&) = delete;

  // With this model; empty: none. Records into this file; empty: nothing.
  void Start(Part part, const std::string& model, const std::string& record);
  void Stop();
  bool running() const { return part_ != Part::kNone; }
  // Whether it was one of these that has ended: it runs again.
  bool StartAgain(const std::string& ended);
  // Ends one of them by force.
  void Kill(const std::string& name) const;
  // On the processor since Start(), s.
  double SpentSeconds();

 private:
  void StartOne(const std::string& name);

  const Deployment& deployment_;
  const Options& options_;
  const std::string cgroups_;
  Processes* const processes_;
  Part part_ = Part::kNone;
  std::string model_, record_;
  struct Spent {
    std::string name;
    pid_t pid = 0;
    double seconds = 0;  // as it was seen last
  };
  std::vector<Spent> spent_;
};
inline constexpr char kAgent[] = "node-agent";
inline constexpr char kControlPlane[] = "control-plane";

struct ArmContext {
  const Options& options;
  const Deployment& deployment;
  FaultTools tools;
  Processes* processes;
  SeerProcesses* seer;
  const std::vector<Person>& people;
};

// One part, as run.cc plans it.
struct PartPlan {
  Part part = Part::kWatch;
  double seconds = 0;
  std::uint64_t seed = 1;
  double fault_every_s = 14;
  bool all_faults_in_turn = false;
  std::string model;   // a file; empty: none
  std::string record;  // a file; empty: nothing is recorded
};

// `show` gets the record so far, once a second. Throws std::runtime_error where a process of the
// application ends.
Record RunPart(const ArmContext& context, const PartPlan& plan,
               const std::function<void(const Record&)>& show);

}  // namespace social
