// A cgroup of its own for each service and store, so that what one may use of the processor can be
// limited, by a fault and by seer. Needs root; version 1, 2, or both side by side.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace social {

class Cgroups {
 public:
  // Null: it cannot be done here, `why` says what is missing. What earlier runs left behind that
  // were killed is removed.
  static std::unique_ptr<Cgroups> Make(std::string* why);
  // Those of the run with this process, which has ended, where it could not do it itself.
  static void RemoveOf(pid_t run);
  // Those of another process of the same run.
  explicit Cgroups(std::string name) : name_(std::move(name)) {}
  ~Cgroups();  // where it has made them: removes them, as soon as nobody is in them
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;

  // Below the root of each hierarchy.
  const std::string& name() const { return name_; }
  std::string PathOf(const std::string& service) const { return name_ + "/" + service; }

  bool Put(const std::string& service, pid_t pid);
  // Cores; none: as many as there are.
  std::optional<double> Cores(const std::string& service) const;
  bool SetCores(const std::string& service, std::optional<double> cores) const;

 private:
  static std::string NameOf(pid_t run);

  std::string name_;
  bool made_ = false;
};

}  // namespace social
