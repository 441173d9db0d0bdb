#include "run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "arm.h"
#include "cgroups.h"
#include "front.h"
#include "interrupted.h"
#include "learning.h"
#include "load.h"
#include "network.h"
#include "processes.h"
#include "report.h"
#include "screen.h"
#include "seer/thrift/node.h"
#include "servers.h"
#include "services.h"
#include "serving_model.h"
#include "shipped_model.h"
#include "store_processes.h"
#include "switches.h"

namespace social {
namespace {

constexpr std::size_t kPeople = 50;
constexpr double kRetrainSeconds = 120, kLearningFaultEveryS = 6;
constexpr std::uint64_t kLearningSeed = 1000;

void ThrowIfEnded(const Deployment& deployment, Processes* processes) {
  if (const std::optional<std::string> ended = processes->Ended()) {
    throw std::runtime_error(*ended + " has ended:\n" + TailOf(deployment.LogOf(*ended)));
  }
}

void StartServices(const Deployment& deployment, Processes* processes) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  for (const Role& role : Roles()) {
    Command command;
    command.name = role.name;
    command.words = {self, "--role", role.name, "--directory", deployment.directory()};
    command.log = deployment.LogOf(role.name);
    deployment.AnnouncePid(role.name, processes->Start(command));
  }
  for (const Role& role : Roles()) {
    for (int i = 0; deployment.Find(role.name) == 0; ++i) {
      if (Interrupted()) return;
      ThrowIfEnded(deployment, processes);
      if (i == 3000) throw std::runtime_error(std::string(role.name) + " does not listen");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

// What this machine or user lacks is left out, and said.
struct Tools {
  std::unique_ptr<Cgroups> cgroups;
  std::unique_ptr<Network> network;
  std::vector<std::string> missing;
};

void MakeNetwork(Tools* tools) {
  std::string why;
  tools->network = Network::Make(&why);
  if (!tools->network) tools->missing.push_back(why);
}

void PutIntoCgroups(const Deployment& deployment, Tools* tools) {
  std::string why;
  tools->cgroups = Cgroups::Make(&why);
  if (!tools->cgroups) {
    tools->missing.push_back(why);
    return;
  }
  for (const Role& role : Roles()) tools->cgroups->Put(role.name, deployment.FindPid(role.name));
  for (const Store& store : Stores()) {
    tools->cgroups->Put(store.name, deployment.FindPid(store.name));
  }
}

// It is learnt with all channels, and where one of this machine is made nobody needs it.
bool WantsShippedModel(const Options& options) {
  const bool foresees = std::any_of(options.parts.begin(), options.parts.end(), [](Part part) {
    return part == Part::kWatch || part == Part::kAct;
  });
  return options.model == Options::kShipped && foresees && !options.serve && !options.retrain &&
         options.channels.bits() == seer::ChannelMask::All().bits();
}

// The model's file; empty: none.
std::string ModelOf(const Options& options, ShippedModel* shipped, Tools* tools) {
  if (options.model != Options::kShipped) return options.model;
  if (shipped == nullptr) return "";
  std::string why;
  std::string file = shipped->File(&why);
  if (!why.empty()) tools->missing.push_back(why);
  return file;
}

// A part in which seer watches, and a model of what it has seen. False: it was interrupted, or
// there was too little to learn from. `learnt` tells people.
bool Learn(const ArmContext& context, PartPlan plan, double seconds, const std::string& model,
           std::string* learnt) {
  const Options& options = context.options;
  plan.part = Part::kLearn;
  plan.seconds = seconds;
  plan.seed = options.seed + kLearningSeed;  // other faults than those that it is judged by
  plan.fault_every_s = kLearningFaultEveryS;
  plan.all_faults_in_turn = true;
  plan.record =
      options.record.empty() ? context.deployment.directory() + "/learnt" : options.record;
  {
    View view;
    RunPart(context, plan, [&](const Record& record) { view.Show(record); });
  }
  if (Interrupted()) return false;
  try {
    *learnt = Train(plan.record, model, options.seed);
  } catch (const std::exception& e) {
    *learnt = std::string("learnt nothing, ") + e.what() + "\n";
    return false;
  }
  ServingModel::Forget(context.deployment);
  return true;
}

void TellParts(const Options& options) {
  for (std::size_t i = 0; i < options.parts.size(); ++i) {
    std::printf("%s'%s'", i == 0 ? "parts: " : ", ", NameOf(options.parts[i]));
  }
  std::printf("; %.0f s each, with the same requests%s; Ctrl-C ends it, with a report\n\n",
              options.seconds / static_cast<double>(options.parts.size()),
              options.faults ? " and faults" : "");
}

void Play(const Options& options, const Deployment& deployment, ShippedModel* shipped,
          Processes* processes, Tools* tools) {
  seer::SetThriftCaller("clients");
  PutIntoCgroups(deployment, tools);
  if (tools->network && !tools->network->MakeClasses(deployment)) {
    tools->missing.push_back("limits of the network: " + TailOf(deployment.LogOf("tc")));
    tools->network.reset();
  }
  // A thread looks at it until the process has ended: it is not taken away.
  const SwitchBoard& board = *new SwitchBoard(deployment);
  TraceAsSwitched(board);
  board->cyclic.store(options.cyclic ? 1 : 0, std::memory_order_relaxed);
  const std::vector<Person> people = Populate(deployment, kPeople, options.seed);
  PartPlan plan;
  plan.model = ModelOf(options, shipped, tools);
  if (Interrupted()) return;
  for (const std::string& missing : tools->missing) std::printf("without %s\n", missing.c_str());
  std::printf("%zu users; %.0f requests/s, latencies from the moment when each was due\n",
              people.size(), options.rate);
  if (options.learn.empty()) TellParts(options);
  std::fflush(stdout);

  SeerProcesses seer(deployment, options, tools->cgroups ? tools->cgroups->name() : "", processes);
  const FaultTools faults = {&deployment, &board, tools->cgroups.get(), tools->network.get()};
  const ArmContext context = {options, deployment, faults, processes, &seer, people};
  std::vector<Record> records;
  std::string learnt;
  if (!options.learn.empty()) {
    if (!Learn(context, plan, options.seconds, options.learn, &learnt)) {
      throw std::runtime_error(learnt);
    }
    std::printf("%smodel: %s\n", learnt.c_str(), std::filesystem::absolute(options.learn).c_str());
    return;
  }
  if (options.retrain) {
    const std::string model = deployment.directory() + "/model";
    if (Learn(context, plan, kRetrainSeconds, model, &learnt)) plan.model = model;
  }
  {
    View view;
    for (const Part part : options.parts) {
      if (Interrupted()) break;
      plan.part = part;
      plan.seconds = options.seconds / static_cast<double>(options.parts.size());
      plan.seed = options.seed;
      plan.fault_every_s = options.fault_every_s;
      plan.record = options.record;
      records.push_back(RunPart(context, plan, [&](const Record& record) { view.Show(record); }));
    }
  }
  std::fputs(learnt.c_str(), stdout);
  for (const Record& record : records) std::fputs(Summary(record).c_str(), stdout);
  if (!options.json.empty()) std::ofstream(options.json) << FiguresJson(records);
  if (options.report.empty() || records.empty()) return;
  std::ofstream(options.report) << ReportHtml(records, tools->missing, options);
  std::printf("report: %s\n", std::filesystem::absolute(options.report).c_str());
}

void ServeUntilInterrupted(const Options& options, const Deployment& deployment,
                           Processes* processes) {
  const SwitchBoard board(deployment);
  board->cyclic.store(options.cyclic ? 1 : 0, std::memory_order_relaxed);
  std::printf("serving in %s\n", deployment.directory().c_str());
  std::fflush(stdout);
  while (!Interrupted()) {
    ThrowIfEnded(deployment, processes);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

int Run(const Options& options) {
  Tools tools;
  if (!options.serve) MakeNetwork(&tools);  // before there is any other process
  ScratchDirectory scratch([run = getpid()] { Cgroups::RemoveOf(run); });
  const Deployment deployment(scratch.path());
  // Processes end before cgroups and directory do.
  std::optional<Processes> processes(std::in_place);
  int status = 0;
  try {
    PublishTo(deployment, "clients");
    std::printf("starting %zu stores and %zu services\n", Stores().size(), Roles().size());
    std::fflush(stdout);
    std::optional<ShippedModel> shipped;
    if (WantsShippedModel(options)) shipped.emplace(deployment);
    StartStores(deployment, &*processes);
    MakeTables(deployment);
    StartServices(deployment, &*processes);
    std::string why;
    if (!Interrupted() && !StartFront(deployment, &*processes, &why) && !why.empty()) {
      tools.missing.push_back(why);
    }
    if (!Interrupted()) {
      options.serve ? ServeUntilInterrupted(options, deployment, &*processes)
                    : Play(options, deployment, shipped ? &*shipped : nullptr, &*processes, &tools);
    }
  } catch (const std::exception& e) {
    if (!Interrupted()) {
      std::fprintf(stderr, "social-network: %s\n", e.what());
      status = 1;
    }
  }
  processes.reset();
  return status;
}

}  // namespace social
