#include "options.h"

#include <cstdlib>
#include <optional>
#include <vector>

namespace social {

const char kUsage[] =
    "social-network [options]\n"
    "\n"
    "A social network of real processes on this machine, a load on it, and what seer foresees.\n"
    "  --duration S   seconds of load, 1 to 86400; by itself 60\n"
    "  --rate R       requests per second, 1 to 2000; by itself 300\n"
    "  --shape W      of the load: constant, diurnal (a day is a minute) or spikes\n"
    "  --seed N       of the load; by itself 1\n"
    "  --serve        no load: the application alone, until Ctrl-C\n"
    "  --help\n";

bool Parse(int argc, char** argv, Options* options, std::string* why) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& name = words[i];
    *why = name;
    if (name == "--help" || name == "-h") {
      options->help = true;
      continue;
    }
    if (name == "--serve") {
      options->serve = true;
      continue;
    }
    if (i + 1 == words.size()) {
      *why += ": not an option, or its value is missing";
      return false;
    }
    const std::string& value = words[++i];
    *why += " " + value + ": see --help";
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    const bool is_number = !value.empty() && *end == '\0';
    if (name == "--duration" && is_number && number >= 1 && number <= 86400) {
      options->seconds = number;
    } else if (name == "--rate" && is_number && number >= 1 && number <= 2000) {
      options->rate = number;
    } else if (name == "--seed" && is_number && number >= 0 && number < 1e15) {
      options->seed = static_cast<std::uint64_t>(number);
    } else if (name == "--shape" && ShapeOf(value)) {
      options->shape = *ShapeOf(value);
    } else if (name == "--role") {
      options->role = value;
    } else if (name == "--directory") {
      options->directory = value;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace social
