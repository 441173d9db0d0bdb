// What CulpritFinder makes of the sums over all classes: whose network it is, and for whom those
// wait that only wait. Private to the room.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"
#include "window/request_sums.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Which services stand on which hosts.
class Placement {
 public:
  explicit Placement(const Topology& topology);
  bool StandsOn(std::uint32_t service, std::uint32_t host) const;
  bool ShareHost(std::uint32_t a, std::uint32_t b) const;
  // Sorted, without none.
  std::vector<std::uint32_t> HostsOf(std::uint32_t service) const;

 private:
  std::vector<std::pair<std::uint32_t, std::uint32_t>> rows_;  // service and host, sorted
};

// Fewer visits tell nothing of what is usual, or whether somebody waits.
inline constexpr double kFewVisits = 3;

// What requests of all classes spent beyond their class's usual. A service that is in trouble holds
// up whoever comes.
struct Pool {
  // `usual` and `now` are by ClassId, of as many services.
  Pool(std::vector<Sums> usual, std::vector<Sums> now, std::size_t services);

  std::vector<Sums> usual, now;
  std::vector<double> own_excess, excess, visits;  // by service
};

// Whose network became slow, by the ways of the requests of all classes.
struct NetworkTrouble {
  // The ways became long, and not only the queues in front of services.
  bool any = false;
  // No service's: that between the hosts, or that in front of them.
  bool nobodys = false;
  // That of the host that is at one end of most of it; none: cannot be told.
  std::uint32_t host = NodeId::kNone;
};
NetworkTrouble LookAtNetwork(const Pool& pool, const Placement& placement);

// The service for which the workers of this one wait, and those of that one, and so on, longer than
// usual: a queue in front of workers that wait is not their doing. In a circle the one that
// leaves the calls of the others unanswered. The service itself where its workers work, or wait no
// longer than usual.
std::uint32_t WhomTheyWaitFor(const Pool& pool, std::uint32_t service);

}  // namespace internal
SEER_END_NAMESPACE
