// The command line.
#pragma once

#include <cstdint>
#include <string>

#include "schedule.h"

namespace social {

struct Options {
  double seconds = 60;  // of load
  double rate = 300;    // requests per second
  std::uint64_t seed = 1;
  Shape shape = Shape::kConstant;
  bool serve = false;     // no load: until it is interrupted
  std::string role;       // a process of the application: which service it is
  std::string directory;  // with role: the deployment's
  bool help = false;
};

extern const char kUsage[];

// False: it makes no sense, `why` says what.
bool Parse(int argc, char** argv, Options* options, std::string* why);

}  // namespace social
