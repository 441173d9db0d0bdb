// Flow: Retrainer -> [RetrainerThread] -> model -> Predictor::UseModel()
//
// A thread that lets a Retrainer work when nobody else needs the processor, and never for more than
// its share.
//
//   seer::RetrainerThread thread(retrainer.get(), [&](std::string model) {
//     predictor->UseModel(*seer::MakeModelOf(model));             // or mirror->UseModel(model)
//   });
//
// It runs with the scheduling policy SCHED_IDLE (nice 19 where that is refused), and after each
// step rests until its time on the processor is at most `cpu_share` of the time that went by.
//
// Threads: made and destroyed by one; destroying it waits for the step that runs. The callback runs
// in its thread, without a lock. Cost: a thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/predict/retrainer.h"

SEER_BEGIN_NAMESPACE

struct RetrainerThreadOptions {
  double cpu_share = 0.1;                // of one core; above 0 and at most 1, else that
  std::int64_t idle_ns = 1'000'000'000;  // looked at so often while there is nothing to do
  const Clock* clock = nullptr;          // for decisions; outlives it; null: the system's
};

class RetrainerThread {
 public:
  using OnModel = std::function<void(std::string)>;
  // The retrainer outlives it. `on_model` may be empty: then TakeModel() is the host's to call.
  RetrainerThread(Retrainer* retrainer, OnModel on_model,
                  const RetrainerThreadOptions& options = {});
  ~RetrainerThread();
  RetrainerThread(const RetrainerThread&) = delete;
  RetrainerThread& operator=(const RetrainerThread&) = delete;

  // Of its thread on the processor, so far.
  std::int64_t cpu_ns() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
