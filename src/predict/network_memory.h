// What retraining of a network works on. Private to the retrainer
// (include/seer/predict/retrainer.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "predict/tick_order.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/predict/replay_buffer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What it remembers, and goes on with after a restart; beside it the models, and what is being
// trained.
struct NetworkMemory {
  NetworkMemory(ReplayBuffer replay_buffer, ReplayBuffer held_back_buffer)
      : replay(std::move(replay_buffer)), held_back(std::move(held_back_buffer)) {}

  // Loading, into one that is empty. `horizons`: that windows may tell of.
  void State(StateIo& io, std::size_t horizons) {
    for (ReplayBuffer* const buffer : {&replay, &held_back}) {
      buffer->State(io);
      if (!io.loading() || !io.ok()) continue;
      for (std::size_t i = 0; i < buffer->windows(); ++i) {
        for (const std::int32_t hazard : buffer->window(i).hazards) {
          io.Require(hazard <= static_cast<std::int32_t>(horizons), "a horizon that is not there");
        }
      }
    }
    times().State(io);
    io(drifted_before), io(drifted), io(wants_scratch), io(unlearnt), io(jobs);
    io.List(not_mapped, 8, [&](std::string& name) { io(name); });
  }

  Times<6> times() {
    return {{&newest_ns, &looked_ns, &round_ns, &replaced_ns, &probed_ns, &changed_ns}};
  }

  ReplayBuffer replay, held_back;
  std::int64_t newest_ns = 0, looked_ns = 0, round_ns = 0;
  std::int64_t replaced_ns = 0, probed_ns = 0, changed_ns = 0;
  std::vector<std::size_t> drifted_before;  // places of services, growing
  double drifted = 0;
  bool wants_scratch = false;
  std::uint64_t unlearnt = 0;  // windows ahead of violations
  std::uint64_t jobs = 0;
  std::vector<std::string> not_mapped;
};

}  // namespace internal
SEER_END_NAMESPACE
