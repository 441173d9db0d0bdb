#include "network.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "agent.h"
#include "processes.h"

namespace social {
namespace {

constexpr int kFreeKbit = 1'000'000;
constexpr int kFreeRoom = 4 << 20;
constexpr int kConnectionBuckets = 4096;  // there are some 800 connections

std::string Hex(int number) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (; number > 0; number /= 16) text.insert(text.begin(), digits[number % 16]);
  return text;
}

// Whoever asks the kernel for connections, as the agent does ten times a second, has it walk the
// whole table of them, which has as many buckets as the machine has memory for (262,144 where it
// has 24 GB). A namespace that is made in another one may have a small table (Linux 6.1); nothing
// is changed for the rest of the machine.
bool EnterNamespace() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  std::ofstream buckets("/proc/sys/net/ipv4/tcp_child_ehash_entries");
  buckets << kConnectionBuckets << std::flush;
  // Where there is none inside it, this one will do.
  if (buckets.good()) unshare(CLONE_NEWNET);
  return true;
}

}  // namespace

std::unique_ptr<Network> Network::Make(std::string* why) {
  std::string tc;
  for (const char* place : {"/sbin/tc", "/usr/sbin/tc", "/usr/bin/tc"}) {
    if (access(place, X_OK) == 0) tc = place;
  }
  if (geteuid() != 0 || tc.empty()) {
    *why = geteuid() != 0 ? "limits of the network: not root"
                          : "limits of the network: there is no tc (apt install iproute2)";
    return nullptr;
  }
  if (!EnterNamespace()) {
    *why = std::string("a network namespace: ") + std::strerror(errno);
    return nullptr;
  }
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool up = socket >= 0 && ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  if (socket >= 0) close(socket);
  if (!up)
    throw std::runtime_error("the loopback device of our network namespace does not come up");
  return std::unique_ptr<Network>(new Network(tc));
}

int Network::ClassOf(const std::string& service) {
  int minor = kFirstNetworkClass;
  for (const Role& role : Roles()) {
    if (role.name == service) return minor;
    ++minor;
  }
  for (const Store& store : Stores()) {
    if (store.name == service) return minor;
    ++minor;
  }
  return 0;
}

bool Network::Do(const std::string& commands) const {
  const std::string script = log_ + ".batch";
  std::ofstream(script) << commands;
  Command command;
  command.name = "tc";
  command.words = {tc_, "-batch", script};
  command.log = log_;
  return RunToEnd(command) == 0;
}

bool Network::MakeClasses(const Deployment& deployment) {
  log_ = deployment.LogOf("tc");
  const std::string rate = std::to_string(kFreeKbit) + "kbit";
  std::string commands =
      "qdisc add dev lo root handle 1: htb default 1\n"
      "class add dev lo parent 1: classid 1:1 htb rate 10gbit\n";
  const auto add = [&](const std::string& name) {
    const std::string minor = Hex(ClassOf(name));
    const std::string port = std::to_string(deployment.Find(name));
    if (port == "0" || port == "1") return;
    commands += "class add dev lo parent 1: classid 1:" + minor + " htb rate " + rate + " ceil " +
                rate + "\nqdisc add dev lo parent 1:" + minor + " bfifo limit " +
                std::to_string(kFreeRoom) + "\n";
    for (const char* side : {"dport", "sport"}) {
      commands += "filter add dev lo parent 1: protocol ip prio 1 u32 match ip " +
                  std::string(side) + " " + port + " 0xffff flowid 1:" + minor + "\n";
    }
  };
  for (const Role& role : Roles()) add(role.name);
  for (const Store& store : Stores()) add(store.name);
  if (!Do(commands)) return false;
  std::ofstream(deployment.directory() + "/network") << "1\n";  // for the agent
  return true;
}

bool Network::Limit(const std::string& service, int kbit, int room_bytes) const {
  const int minor = ClassOf(service);
  if (minor == 0) return false;
  const std::string rate = std::to_string(kbit) + "kbit";
  return Do("class change dev lo parent 1: classid 1:" + Hex(minor) + " htb rate " + rate +
            " ceil " + rate + " burst 16k cburst 16k\nqdisc change dev lo parent 1:" + Hex(minor) +
            " bfifo limit " + std::to_string(room_bytes) + "\n");
}

bool Network::Lift(const std::string& service) const {
  return Limit(service, kFreeKbit, kFreeRoom);
}

}  // namespace social
