// The loopback device of a network namespace of our own, on which each service's traffic has a
// class that can be limited. Needs root and tc.
#pragma once

#include <memory>
#include <string>

#include "deployment.h"

namespace social {

class Network {
 public:
  // This process and those that it starts from now on live in a namespace of their own, as long as
  // one of them lives. Null: it cannot be done here, `why` says what is missing.
  static std::unique_ptr<Network> Make(std::string* why);

  // A class for what comes from or goes to each port. False: tc does not.
  bool MakeClasses(const Deployment& deployment);

  // So many bits a second for all that a service sends and receives, and room for so many bytes to
  // wait: what finds none is dropped.
  bool Limit(const std::string& service, int kbit, int room_bytes) const;
  bool Lift(const std::string& service) const;

 private:
  explicit Network(std::string tc) : tc_(std::move(tc)) {}
  bool Do(const std::string& commands) const;
  static int ClassOf(const std::string& service);  // 0: it has none

  const std::string tc_;
  std::string log_;
};

}  // namespace social
