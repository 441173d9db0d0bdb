// The control plane: takes in what agents and clients tell, foresees, finds out why, and decides
// what to do. It keeps what it has learnt in a file, so that it goes on where it was when it is
// started again. It tells people by news (news.h).
#pragma once

#include <string>

#include "deployment.h"
#include "seer/core/channel.h"

namespace social {

struct ControlPlaneOptions {
  bool act = false;    // else it decides without acting
  std::string model;   // a file; empty: what is usual is learnt while it runs
  std::string record;  // a file for all ticks (learning.h); empty: none
  seer::ChannelMask channels = seer::ChannelMask::All();  // without a model: what it may look at
};

// Until it is interrupted; throws std::exception.
void RunControlPlane(const Deployment& deployment, const ControlPlaneOptions& options);

}  // namespace social
