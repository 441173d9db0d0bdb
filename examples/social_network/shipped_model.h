// The model that a run begins with, unless it is told another one: what this version of seer learns
// from the recording that ships. It is learnt while the application starts.
#pragma once

#include <string>

#include <sys/types.h>

#include "deployment.h"

namespace social {

class ShippedModel {
 public:
  // Begins, in a process of its own. Before there are threads (processes.h).
  explicit ShippedModel(const Deployment& deployment);
  ~ShippedModel();  // ends it, if it has not ended
  ShippedModel(const ShippedModel&) = delete;
  ShippedModel& operator=(const ShippedModel&) = delete;

  // Waits for it: the model's file. Empty: there is none, and `why` says what is missing; or it was
  // interrupted.
  std::string File(std::string* why);

 private:
  const Deployment& deployment_;
  pid_t pid_ = -1;  // of who learns
};

}  // namespace social
