// The control plane: takes in what agents and clients tell, foresees, finds out why, and decides
// what to do. It keeps what it has learnt in a file, so that it goes on where it was when it is
// started again. It tells people by news (news.h).
#pragma once

#include <string>

#include "deployment.h"
#include "seer/core/channel.h"

namespace social {

struct ControlPlaneOptions {
  bool act = false;   // else it decides without acting
  std::string model;  // a file; empty: what is usual is learnt while it runs
  seer::ChannelMask channels = seer::ChannelMask::All();  // without a model: what it may look at
};

// Does not return; throws std::exception.
[[noreturn]] void RunControlPlane(const Deployment& deployment, const ControlPlaneOptions& options);

}  // namespace social
