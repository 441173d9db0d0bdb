// Which services the requests of a class pass, computed one by one: what src/predict/class_ways.h
// computes group by group. Bit for bit the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "predict/class_members.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"

namespace seer::testing {

// A service in this tick, as PlainTreeFeatures has it.
struct PlainHeld {
  float came = 0;  // calls in the tick; NaN: not known
  float excess = 0, self_z = 0, rise = 0, gap_z = 0;
  float own = 0, slow = 0;
};

class PlainClassWays {
 public:
  static constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

  void UseRows(const internal::ClassMembers& members, const Topology& topology,
               const std::vector<std::uint32_t>& groups);
  void Observe(const std::vector<float>& counts, const std::vector<bool>& calm,
               const std::vector<PlainHeld>& services, double gap);
  float Visits(ClassId id, std::uint32_t service) const;

  // As ClassWays; `scores` by service. False: nothing is known yet.
  bool Candidates(ClassId id, const std::vector<float>& scores,
                  const std::vector<std::uint32_t>& masked, std::vector<std::uint32_t>* into) const;
  struct Weather {
    float self = kNone, gap = kNone, self_share = kNone, gap_share = kNone;
  };
  Weather Of(ClassId id, const std::vector<PlainHeld>& services) const;

  struct Weighed {
    float delay = kNone, most = kNone, slow = kNone, own = kNone;
    float self = kNone, rise = kNone, gap = kNone, abnormal = kNone;
  };
  Weighed Weigh(ClassId id, const std::vector<PlainHeld>& services,
                const std::vector<std::uint32_t>& masked) const;

 private:
  using Cell = std::pair<std::uint32_t, std::uint32_t>;
  struct Group {
    std::vector<std::uint32_t> members, classes;
    std::map<std::uint32_t, float> ended, came;
    int ticks = 0;
    bool good = true;
  };
  void Learn(Group* group);

  std::vector<Group> groups_;
  std::map<std::uint32_t, std::size_t> group_of_;  // by class
  std::map<Cell, double> inverse_;                 // class, class
  std::map<Cell, float> visits_;                   // class, service
  std::map<std::pair<std::uint32_t, std::uint32_t>, float>
      learnt_;  // first class of group, service
};

}  // namespace seer::testing
