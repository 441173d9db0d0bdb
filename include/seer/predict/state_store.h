// Flow: Mirror -> [StateStore] -> files -> Mirror
//
// A mirror's state in a folder, so that it survives the end of its process at any moment: a
// checkpoint of everything, and a log of what was done since.
//
//   auto store = seer::StateStore::Open("/var/lib/seer");               // StatusOr
//   absl::Status status = (*store)->Restore(mirror.get());              // NotFound: begin anew
//   mirror->TakeOver(term);
//   ...
//   status = (*store)->Keep(*mirror);                                   // after each tick
//
// Files: `state.<sequence>` is SaveState(), written under another name, forced to the disk and
// renamed. `log.<sequence>` has the deltas after it, appended by one write each time. The last
// `checkpoints` of both are kept: where the newest is damaged the one before it and both logs lead
// to the same state. What the process was writing when it was killed is cut off at the last whole
// delta; nothing else is lost. After a crash of the machine as much of the log may be missing as
// the system had not written; `sync` forces each Keep() to the disk.
//
// A retrainer (retrainer.h) may keep its state in the same folder, whole each time, as
// `retrainer.<n>`: some MB, so once a minute or so is enough. What was noted since the last time is
// lost with the process.
//
//   status = (*store)->Restore(retrainer.get());    // NotFound: it begins to collect anew
//   status = (*store)->Keep(*retrainer);            // between two Step()s
//
// A folder belongs to one process: Open() locks it.
//
// Threads: one at a time. Cost: Keep() one write of the deltas' bytes; when the log has reached
// `log_bytes`, and of a retrainer, a SaveState() and two fsyncs. Disk: `checkpoints` times a state
// and a log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/predict/mirror.h"

SEER_BEGIN_NAMESPACE

class Retrainer;

struct StateStoreOptions {
  std::size_t log_bytes = std::size_t{64} << 20;  // above it a checkpoint is made; 4096 or more
  std::size_t checkpoints = 2;                    // kept, at least 1
  bool sync = false;
};

// What Restore() found.
struct RestoredState {
  std::uint64_t checkpoint = 0;  // its sequence
  std::uint64_t deltas = 0;      // applied after it
  std::size_t damaged = 0;       // checkpoints that were passed over
  std::size_t cut_bytes = 0;     // behind the last whole delta
};

class StateStore {
 public:
  // Makes the folder if its parent is there. FailedPrecondition: another process has it open.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const std::string& folder,
                                                          const StateStoreOptions& options = {});
  ~StateStore();
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // NotFound: there is none; the mirror is as it was. DataLoss: all are damaged, the message says
  // how. Else why the newest is not for this mirror (Mirror::LoadState).
  absl::StatusOr<RestoredState> Restore(Mirror* mirror);

  // What the mirror did since the last call; a checkpoint at the first, after Restore() or
  // Mirror::LoadState(), and when the log is long. After an error the next call tries again.
  [[nodiscard]] absl::Status Keep(const Mirror& mirror);
  // Now.
  [[nodiscard]] absl::Status Checkpoint(const Mirror& mirror);

  // NotFound: none was kept; the retrainer is as it was. Else why the newest that was kept is not
  // for it (Retrainer::LoadState), nor any before.
  [[nodiscard]] absl::Status Restore(Retrainer* retrainer);
  // An error of Retrainer::SaveState(), or what the system said; what was kept before stays.
  [[nodiscard]] absl::Status Keep(const Retrainer& retrainer);

 private:
  class Impl;
  explicit StateStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
