// Flow: (host, training) -> [OnednnBackend] -> Backend
//
// The backend "onednn": convolutions, LSTMs and matrix products by Intel's oneDNN, the rest as in
// the backend "eigen". A library of its own (component nn_onednn), because oneDNN brings 38 MB and,
// as Debian builds it, libgomp with it.
//
//   if (absl::Status status = seer::AddBackend(seer::OnednnBackend()); !status.ok()) return status;
//   options.backend = "onednn";                                          // of a Trainer
//
//   seer::OnednnOptions two;
//   two.threads = 2;
//   auto backend = seer::MakeOnednnBackend(two);
//
// One thread unless asked for more. OpenMP keeps the number of threads for each of the host's
// threads; it is set while seer computes and put back. With more than one thread libgomp starts a
// team for each thread that calls, and a process that forks afterwards cannot compute with more
// than one thread in the child (it would hang).
//
// oneDNN's LSTM computes wrong gradients without initial states: here they are always there, as
// zeros. Its ReLU turns NaN into numbers: inputs are checked before, as by all backends.
//
// Outputs equal plain loops within 1e-5 of the largest, gradients within 1e-4 of the largest of
// their tensor.
//
// Threads: as Backend. Cost: unlike other backends a run allocates, as oneDNN does; a workspace's
// first run with another number of windows than before costs milliseconds, for its primitives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "seer/core/config.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE

struct OnednnOptions {
  std::uint32_t threads = 1;  // 1 to 256; as many as OpenMP gives
};

// With one thread; lives as long as the process.
const Backend* OnednnBackend();
// Null where threads is out of range.
std::unique_ptr<Backend> MakeOnednnBackend(const OnednnOptions& options);

// Of the library that is loaded, "2.6.3".
std::string OnednnVersion();

SEER_END_NAMESPACE
