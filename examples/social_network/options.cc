#include "options.h"

#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <sstream>

namespace social {
namespace {

using seer::ChannelMask;

std::optional<std::vector<Part>> PartsOf(const std::string& text) {
  std::vector<Part> parts;
  std::istringstream names(text);
  for (std::string name; std::getline(names, name, ',');) {
    bool known = false;
    for (const Part part : {Part::kNone, Part::kWatch, Part::kAct}) {
      if (name != NameOf(part)) continue;
      parts.push_back(part);
      known = true;
    }
    if (!known) return std::nullopt;
  }
  if (parts.empty() || parts.size() > 64) return std::nullopt;
  return parts;
}

const std::map<std::string, std::function<void(Options*)>>& Flags() {
  static const std::map<std::string, std::function<void(Options*)>> flags = {
      {"--help", [](Options* o) { o->help = true; }},
      {"-h", [](Options* o) { o->help = true; }},
      {"--serve", [](Options* o) { o->serve = true; }},
      {"--short",
       [](Options* o) {
         o->seconds = 48;
         o->fault_every_s = 7;
       }},
      {"--no-seer", [](Options* o) { o->parts = {Part::kNone}; }},
      {"--shadow", [](Options* o) { o->parts = {Part::kWatch}; }},
      {"--retrain", [](Options* o) { o->retrain = true; }},
      {"--no-faults", [](Options* o) { o->faults = false; }},
      {"--cyclic", [](Options* o) { o->cyclic = true; }},
      {"--chaos", [](Options* o) { o->chaos = true; }},
      {"--nic-only", [](Options* o) { o->channels = ChannelMask::NicOnly(); }},
      {"--kernel-only", [](Options* o) { o->channels = ChannelMask::KernelOnly(); }},
      {"--app-only", [](Options* o) { o->channels = ChannelMask::AppOnly(); }},
      {"--act", [](Options* o) { o->act = true; }},
  };
  return flags;
}

bool SetNumber(const std::string& name, double number, Options* options) {
  if (name == "--duration" && number >= 1 && number <= 86400) {
    options->seconds = number;
  } else if (name == "--rate" && number >= 1 && number <= 2000) {
    options->rate = number;
  } else if (name == "--seed" && number >= 0 && number < 1e15) {
    options->seed = static_cast<std::uint64_t>(number);
  } else if (name == "--channels" && number >= 0 && number < 256) {
    options->channels = ChannelMask(static_cast<std::uint8_t>(number));
  } else {
    return false;
  }
  return true;
}

bool SetText(const std::string& name, const std::string& value, Options* options) {
  if (name == "--shape" && ShapeOf(value)) {
    options->shape = *ShapeOf(value);
  } else if (name == "--parts" && PartsOf(value)) {
    options->parts = *PartsOf(value);
  } else if (name == "--model") {
    options->model = value == "none" ? "" : value;
  } else if (name == "--learn" && !value.empty()) {
    options->learn = value;
    options->parts = {Part::kLearn};
  } else if (name == "--from" && !value.empty()) {
    options->from = value;
  } else if (name == "--record" && !value.empty()) {
    options->record = value;
  } else if (name == "--report") {
    options->report = value;
  } else if (name == "--json") {
    options->json = value;
  } else if (name == "--role") {
    options->role = value;
  } else if (name == "--directory") {
    options->directory = value;
  } else if (name == "--cgroups") {
    options->cgroups = value;
  } else {
    return false;
  }
  return true;
}

}  // namespace

const char kUsage[] =
    "social-network [options]\n"
    "\n"
    "A social network of real processes on this machine, a load on it, faults, and what seer does\n"
    "about them: in one half of the time it watches, in the other it acts, on the same faults.\n"
    "  --duration S   seconds of load, 1 to 86400; by itself 230\n"
    "  --short        48 seconds: that it works, not how well\n"
    "  --seed N       of load and faults; by itself 1\n"
    "  --rate R       requests per second, 1 to 2000; by itself 300\n"
    "  --shape W      of the load: constant, diurnal (a day is a minute) or spikes\n"
    "  --no-seer      nothing of seer runs: what the faults do without it\n"
    "  --shadow       seer decides, and does not act\n"
    "  --parts P,...  parts of the run, one after the other: none, watch, act; by itself "
    "watch,act\n"
    "  --no-faults\n"
    "  --cyclic       the protocol of compose-post with a cycle, as it was at first\n"
    "  --chaos        seer's own processes are killed now and then\n"
    "  --nic-only, --kernel-only, --app-only   what seer may look at\n"
    "  --model FILE   a trained model, or none: then what is usual is learnt while it runs; by\n"
    "                 itself a model of the recording examples/social_network/"
    "social-network.seerdata\n"
    "  --retrain      first learns from two minutes of faults on this machine, and takes that "
    "model\n"
    "  --learn FILE   only learns, for all of --duration, and writes the model\n"
    "  --from FILE    with --learn: from this recording, and nothing runs\n"
    "  --record FILE  all that seer saw, and what was true: a dataset, for the tool `seer`\n"
    "  --report FILE  by itself social-network.html\n"
    "  --serve        no load: the application alone, until Ctrl-C\n"
    "  --help\n";

const char* NameOf(Part part) {
  switch (part) {
    case Part::kLearn:
      return "learn";
    case Part::kWatch:
      return "watch";
    case Part::kAct:
      return "act";
    case Part::kNone:
      break;
  }
  return "none";
}

bool Parse(int argc, char** argv, Options* options, std::string* why) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& name = words[i];
    *why = name;
    if (const auto flag = Flags().find(name); flag != Flags().end()) {
      flag->second(options);
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
    if (!(is_number && SetNumber(name, number, options)) && !SetText(name, value, options)) {
      return false;
    }
  }
  *why = "--from: say with --learn where the model goes";
  return options->from.empty() || !options->learn.empty();
}

}  // namespace social
