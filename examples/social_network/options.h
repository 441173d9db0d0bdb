// The command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schedule.h"
#include "seer/core/channel.h"

namespace social {

// What seer does during a part of a run.
enum class Part { kNone, kLearn, kWatch, kAct };
// "none", "learn", "watch", "act".
const char* NameOf(Part part);

struct Options {
  static constexpr char kShipped[] = "shipped";  // what the recording beside the sources teaches

  double seconds = 230;  // of load, all parts together
  double rate = 300;     // requests per second
  std::uint64_t seed = 1;
  Shape shape = Shape::kConstant;
  std::vector<Part> parts = {Part::kWatch, Part::kAct};
  bool faults = true;
  double fault_every_s = 14;
  bool cyclic = false;  // the protocol of compose-post with a cycle, all the time
  bool chaos = false;   // seer's own processes are killed now and then
  seer::ChannelMask channels = seer::ChannelMask::All();
  std::string model = kShipped;  // a file; kShipped; empty: none
  std::string learn;             // a file for a model of this run; empty: nothing is learnt
  std::string from;              // of this recording instead, and nothing runs; empty: of the run
  bool retrain = false;          // learns first, and goes on with that model
  std::string record;            // a dataset of all that seer saw; empty: none
  std::string report = "social-network.html";
  std::string json;  // figures, for other programs

  bool serve = false;     // no load: until it is interrupted
  std::string role;       // a process of the run: which one it is
  std::string directory;  // with role: the deployment's
  std::string cgroups;    // of the agent
  bool act = false;       // of the control plane
  bool help = false;
};

extern const char kUsage[];

// False: it makes no sense, `why` says what.
bool Parse(int argc, char** argv, Options* options, std::string* why);

}  // namespace social
