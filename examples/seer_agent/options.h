// What the command line says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "seer/queue/collector.h"
#include "seer/queue/kernel_probe.h"
#include "seer/trace/span_probe.h"

struct Options {
  seer::CollectorOptions collector;
  seer::KernelProbeOptions kernel;
  bool use_kernel = false;
  seer::SpanProbeOptions spans;  // for its classes, and:
  std::string spans_output;      // "-": the standard output; empty: none
  std::optional<std::uint16_t> listen;
  std::string output;       // "-": the standard output; empty: none
  std::uint64_t ticks = 0;  // 0: until a signal
  bool quiet = false;
  bool demo = false;
};

// None: the program is done (`*status` is how), as it has told what is wrong, or what it can.
std::optional<Options> ParseOptions(int argc, char** argv, int* status);
