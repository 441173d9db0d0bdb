// Makes the faults of a script, and undoes each at its end: at the latest when this object goes. A
// process that is killed takes them along: its children die, and with them connections, namespace
// and what was stopped; cgroups that are empty then hold nobody back, and the next run removes
// them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cgroups.h"
#include "deployment.h"
#include "fault_script.h"
#include "network.h"
#include "switches.h"

namespace social {

// What faults are made with; null: what needs it is left out.
struct FaultTools {
  const Deployment* deployment = nullptr;
  const SwitchBoard* board = nullptr;
  const Cgroups* cgroups = nullptr;
  const Network* network = nullptr;
};
std::set<FaultKind> PossibleWith(const FaultTools& tools);

class Faults {
 public:
  // The script begins now.
  Faults(const FaultTools& tools, std::vector<Fault> script);
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  // Those that have begun since the last call.
  std::vector<Fault> TakeBegun();
  // The one that is under way.
  std::optional<Fault> Current();

 private:
  class Undone;  // one that was made: its destructor undoes it

  void Run();
  std::unique_ptr<Undone> Make(const Fault& fault) const;

  const FaultTools tools_;
  const std::vector<Fault> script_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<Fault> begun_;      // guarded by mutex_
  std::optional<Fault> current_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace social
