#include "cgroups.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace social {
namespace {

namespace fs = std::filesystem;

constexpr char kRoot[] = "/sys/fs/cgroup/";
constexpr char kPrefix[] = "seer-social-";
constexpr int kPeriodUs = 40'000;  // a limit holds back often, and not for long

bool Version1() {
  static const bool version1 = access("/sys/fs/cgroup/cpu/cgroup.procs", F_OK) == 0;
  return version1;
}

// Where our groups are made. What limits the processor comes first; the others are for what seer
// reads of a group.
std::vector<std::string> FindHierarchies() {
  if (!Version1()) return {kRoot};
  std::vector<std::string> found;
  for (const char* controller : {"cpu", "cpuacct", "memory", "blkio", "unified"}) {
    const std::string path = std::string(kRoot) + controller + "/";
    if (access((path + "cgroup.procs").c_str(), F_OK) == 0) found.push_back(path);
  }
  return found;
}

const std::vector<std::string>& Hierarchies() {
  static const std::vector<std::string> found = FindHierarchies();
  return found;
}

bool SetText(const std::string& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  return out.good();
}

// A group with those below it, in all hierarchies. Who is in them ends just now.
void RemoveAll(const std::string& name) {
  for (const std::string& hierarchy : Hierarchies()) {
    std::error_code none;
    for (int i = 0; i < 100; ++i) {
      for (const auto& below : fs::directory_iterator(hierarchy + name, none)) {
        if (below.is_directory(none)) rmdir(below.path().c_str());
      }
      if (rmdir((hierarchy + name).c_str()) == 0 || errno == ENOENT) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

// Of runs that ended together with their keepers.
void RemoveLeftovers() {
  std::set<std::string> dead;
  for (const std::string& hierarchy : Hierarchies()) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(hierarchy, none)) {
      const std::string name = entry.path().filename().string();
      if (name.rfind(kPrefix, 0) != 0) continue;
      const int pid = std::atoi(name.c_str() + std::strlen(kPrefix));
      if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) dead.insert(name);
    }
  }
  for (const std::string& name : dead) RemoveAll(name);
}

}  // namespace

std::unique_ptr<Cgroups> Cgroups::Make(std::string* why) {
  if (geteuid() != 0) {
    *why = "limits of the processor: not root";
    return nullptr;
  }
  const std::vector<std::string>& hierarchies = Hierarchies();
  if (!hierarchies.empty()) RemoveLeftovers();
  auto made = std::make_unique<Cgroups>(NameOf(getpid()));
  made->made_ = true;
  for (const std::string& hierarchy : hierarchies) {
    if (!Version1()) SetText(hierarchy + "cgroup.subtree_control", "+cpu");
    if (mkdir((hierarchy + made->name_).c_str(), 0755) == 0) {
      if (!Version1()) SetText(hierarchy + made->name_ + "/cgroup.subtree_control", "+cpu");
      continue;
    }
    if (hierarchy != hierarchies[0]) continue;  // only for what is read there
    *why = hierarchy + made->name_ + ": " + std::strerror(errno);
    return nullptr;
  }
  if (hierarchies.empty() || !made->Put("here", 0) || !made->SetCores("here", 1.0)) {
    *why = "limits of the processor: the cgroups of this machine do not allow them";
    return nullptr;
  }
  return made;
}

Cgroups::~Cgroups() {
  if (made_) RemoveAll(name_);
}

std::string Cgroups::NameOf(pid_t run) { return kPrefix + std::to_string(run); }
void Cgroups::RemoveOf(pid_t run) { RemoveAll(NameOf(run)); }

// The pid 0 is nobody: the group is made.
bool Cgroups::Put(const std::string& service, pid_t pid) {
  bool limits = false;
  for (const std::string& hierarchy : Hierarchies()) {
    const std::string path = hierarchy + PathOf(service);
    const bool there = mkdir(path.c_str(), 0755) == 0 || errno == EEXIST;
    const bool put = there && (pid == 0 || SetText(path + "/cgroup.procs", std::to_string(pid)));
    limits = limits || (put && hierarchy == Hierarchies()[0]);
    if (put && pid != 0 && hierarchy == Hierarchies()[0]) SetCores(service, std::nullopt);
  }
  return limits;
}

std::optional<double> Cgroups::Cores(const std::string& service) const {
  const std::string path = Hierarchies()[0] + PathOf(service);
  std::string quota;
  double period = 0;
  if (Version1()) {
    std::ifstream(path + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(path + "/cpu.cfs_period_us") >> period;
  } else {
    std::ifstream(path + "/cpu.max") >> quota >> period;
  }
  const double us = std::strtod(quota.c_str(), nullptr);  // "max", "-1": no limit
  if (us <= 0 || period <= 0) return std::nullopt;
  return us / period;
}

bool Cgroups::SetCores(const std::string& service, std::optional<double> cores) const {
  const std::string path = Hierarchies()[0] + PathOf(service);
  const std::string quota =
      cores ? std::to_string(std::max(1000L, std::lround(*cores * kPeriodUs))) : "";
  if (!Version1()) {
    return SetText(path + "/cpu.max", (cores ? quota : "max") + " " + std::to_string(kPeriodUs));
  }
  return SetText(path + "/cpu.cfs_period_us", std::to_string(kPeriodUs)) &&
         SetText(path + "/cpu.cfs_quota_us", cores ? quota : "-1");
}

}  // namespace social
