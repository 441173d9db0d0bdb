// A social network of real processes on this machine, a load on it, faults, and what seer does
// about them.
//
//   examples/run social-network [--short] [--seed N] [--no-seer | --shadow] [--chaos] ...
//
//   clients --> nginx --> web --> home-timeline, user-timeline --> post-storage --> post-memcached,
//                          |                         '--> timeline-redis                  postgres
//                          '--> compose-post --> unique-id, user, media, text --> url-shorten,
//                                 |--> post-storage, user-timeline, search        user-mention
//                                 '--> home-timeline-queue --> write-home-timeline
//                                                                '--> social-graph, timeline-redis
//
// The way of the data through this folder: the clients draw their requests (schedule) and send them
// (load), through nginx (front) to services (social.thrift, *_services) behind servers of all of
// Thrift's kinds (servers), that call each other (clients, pool) and the stores (stores: memcached,
// redis, postgres over tcp and resp). All of these are processes of their own (deployment,
// processes, store_processes), in cgroups and a network of their own (cgroups, network). Meanwhile
// a script of faults is made true (fault_script, faults, switches).
//
// What seer does stands beside it, as a host would do it: a node agent (agent) reads queues, stores
// (store_probes) and spans (spans), tells the control plane (messages), and acts for it; the
// control plane (control_plane) foresees by a model (serving_model), diagnoses and decides, and
// tells people (news). What was foreseen is held against what happened (judge), part by part of the
// run (arm), and shown (screen, report). A model is trained with what such parts have recorded
// (learning): the recording that ships is one (shipped_model). It is of a machine with much else to
// do, and of one that was idle:
//
//   examples/run social-network --learn FILE --duration 750 --seed 101
//     --record examples/social_network/social-network.seerdata
//   examples/run social-network --learn FILE --duration 480 --seed 61 --record (the same)
//   examples/run social-network --parts watch --duration 300 --seed 62 --record (the same)
//
// the first behind six minutes of faults that were drawn, not in turn; then all was packed as
// densely as a dataset can be. run.cc puts it together.
#include <cstdio>
#include <exception>
#include <string>

#include <thrift/Thrift.h>

#include "agent.h"
#include "arm.h"
#include "control_plane.h"
#include "deployment.h"
#include "interrupted.h"
#include "learning.h"
#include "options.h"
#include "run.h"
#include "seer/thrift/node.h"
#include "servers.h"
#include "services.h"

namespace social {
namespace {

// One process of a run.
int RunRole(const Options& options) {
  const Deployment deployment(options.directory);
  if (options.role == kAgent) {
    RunAgent(deployment, options.cgroups);
    return 0;
  }
  if (options.role == kControlPlane) {
    ControlPlaneOptions control;
    control.act = options.act;
    control.model = options.model;
    control.channels = options.channels;
    control.record = options.record;
    RunControlPlane(deployment, control);
    return 0;
  }
  for (const Role& role : Roles()) {
    if (role.name != options.role) continue;
    PublishTo(deployment, role.name);
    seer::SetThriftCaller(role.name);  // also of calls in threads that serve no request of Thrift's
    if (role.server == Server::kConsumer) WriteHomeTimelines(role, deployment);
    Serve(role, MakeService(options.role, deployment), deployment);
    return 1;  // nobody stops a server
  }
  std::fprintf(stderr, "social-network: there is no role '%s'\n", options.role.c_str());
  return 2;
}

}  // namespace
}  // namespace social

int main(int argc, char** argv) {
  social::Options options;
  std::string why;
  if (!social::Parse(argc, argv, &options, &why)) {
    std::fprintf(stderr, "social-network: %s\n", why.c_str());
    return 2;
  }
  if (options.help) {
    std::fputs(social::kUsage, stdout);
    return 0;
  }
  try {
    apache::thrift::GlobalOutput.setOutputFunction([](const char*) {});
    if (!options.role.empty()) return social::RunRole(options);
    if (!options.from.empty()) {
      std::fputs(social::Train(options.from, options.learn, options.seed).c_str(), stdout);
      return 0;
    }
    social::CatchInterrupts();
    return social::Run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "social-network: %s\n", e.what());
    return 1;
  }
}
