// Which services the requests of a class pass, and how often: learnt, tick by tick, from how many
// requests of each class ended and how many calls came to each service. Classes of an application
// mostly share their entry; who of them waits for whom no topology tells.
//
// The calls that came to a service are the sum over the classes of the application of visits times
// requests: a Kalman filter whose gain all services share (each sees the same requests), with
// visits that may drift. It learns from blocks of ticks, so that a request that spans two of them
// matters little, and not while a class is in violation, when calls and ends fall apart.
//
// Cost: a tick about 1 ns for each class and service of its application.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "predict/class_members.h"
#include "predict/service_columns.h"
#include "predict/standouts.h"
#include "predict/top_scores.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ClassWays {
 public:
  static constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  static constexpr std::size_t kBlockTicks = 4;
  static constexpr float kWarm = 20;               // blocks until visits are told
  static constexpr std::size_t kMostClasses = 64;  // of an application; of more nothing is learnt
  static constexpr std::size_t kMostCells = std::size_t{1} << 20;  // classes x services, over all
  static constexpr float kMayPass = 0.02f;  // visits from which it may be to blame
  static constexpr float kOnWay = 0.1f;     // visits from which a service counts as passed

  // `groups`: of each class the first class of its application; a class that is removed is in none.
  void UseRows(const ClassMembers& members, absl::Span<const std::uint32_t> groups,
               absl::Span<const std::uint8_t> live, std::size_t services);
  void Clear() { *this = ClassWays(); }

  // A tick that `services` has seen. Requests of each class that ended in it; NaN: not known.
  // `calm`: no violation of the class lately.
  void Observe(absl::Span<const float> counts, absl::Span<const std::uint8_t> calm,
               const ServiceColumns& services, double gap);

  // Calls of the service for each request of the class; NaN: not known (yet).
  float visits(ClassId id, std::uint32_t service) const {
    if (id.index() >= places_.size() || service >= homes_.size()) return kNone;
    const Place& place = places_[id.index()];
    if (place.group == kNowhere) return kNone;
    const Group& group = groups_[place.group];
    const std::size_t m =
        homes_[service].group == place.group ? homes_[service].row : MemberOf(group, service);
    if (m == group.members.size() || group.learnt[m] < kWarm) return kNone;
    return std::max(group.visits[place.row * group.members.size() + m], 0.0f);
  }

  // Seconds that a call is held up at the service more than usual: on its way to it, while the
  // service works on it, or while it waits for workers that do not wait for others themselves; over
  // the last ticks. Where that cannot be told, all that stands there. NaN: not known.
  float own(std::size_t service) const { return own_[service]; }
  // All that stands there above usual, over the last ticks.
  float slow(std::size_t service) const { return slow_[service]; }

  // Of a class's target, how long its requests wait for each service more than usual: for all that
  // stands there lately, and for the service itself; NaN: not known. By service, until the next
  // tick or Delays() of another class.
  struct Delays {
    const float *way = nullptr, *own = nullptr;
  };
  Delays DelaysOf(ClassId id, float target_s);

  // What stands at the services that a request of the class passes.
  struct Weighed {
    float delay = kNone;  // seconds that a request waits for them more than usual, if they go on so
    float most = kNone;   // for one of them
    float slow = kNone;   // as `delay`, over the last ticks
    float own = kNone;    // own() of all of them
    float self = kNone, rise = kNone, gap = kNone;  // the largest, in spreads
    float abnormal = kNone;                         // how many are
  };
  Weighed Weigh(ClassId id, absl::Span<const std::uint32_t> masked);

  // The services that requests of the class may pass, by how conspicuous they are: at most
  // into.size(), no more than Standouts::kCandidates, of those that are not masked. False: not
  // known yet. `services`: as Observe() had them.
  bool Candidates(ClassId id, const ServiceColumns& services,
                  absl::Span<const std::uint32_t> masked, absl::Span<std::uint32_t> into,
                  std::size_t* count);

  // Of all services of the class's application, in spreads above usual; NaN: not known.
  struct Weather {
    float self = kNone, gap = kNone;              // means of values that are cut off
    float self_share = kNone, gap_share = kNone;  // of services that are far above
  };
  Weather weather(ClassId id) const;

  // What was learnt, saved or loaded; loading, UseRows() comes after it.
  void State(StateIo& io);

 private:
  enum Gathered : std::size_t { kDelay, kSlow, kOwn, kSelf, kRise, kGap, kGathered };
  struct Group {
    std::vector<std::uint32_t> members;  // services, ascending
    std::vector<std::uint32_t> classes;  // ascending
    std::vector<double> inverse;         // classes x classes: how little is known of visits
    std::vector<float> visits;           // classes x members
    std::vector<float> learnt;           // of each member: blocks
    bool warm = false;                   // of one of them enough
    // Whether its members stand side by side in the columns of services.
    bool side_by_side = false;
    // Of the block that is not over yet.
    std::uint32_t ticks = 0;
    bool good = true;
    std::vector<float> ended;  // of each class
    std::vector<float> came;   // of each member; NaN: not known
    // Of this tick, by member; what is not known is 0 or minus infinity.
    std::array<std::vector<float>, kGathered> now;
    Weather weather;
  };
  struct Place {
    std::uint32_t group = kNowhere, row = 0;
  };
  static constexpr std::uint32_t kNowhere = 0xffffffffu;
  // Of one class in this tick: as many as remain where as many are masked as can be.
  struct Ranked {
    std::uint32_t of = kNowhere;
    bool warm = false;
    std::size_t count = 0;
    std::array<std::uint32_t, Standouts::kCandidates + Standouts::kMaskable> services;
  };

  void Rank(std::uint32_t of, const Group& group, const ServiceColumns& services);
  void ReadServices(const ServiceColumns& services);
  void Gather(const ServiceColumns& services, Group* group) const;
  static void Learn(Group* group);
  const Group* GroupOf(ClassId id) const;
  static std::size_t MemberOf(const Group& group, std::uint32_t service);

  std::vector<Group> groups_;
  std::vector<Place> places_;  // of each class
  std::vector<Place> homes_;   // of each service, among the members of the first group it is in
  Ranked ranked_;
  TopScores top_;
  std::vector<float> own_, slow_;  // of each service
  // DelaysOf(): by service, NaN but for the members of one group.
  std::vector<float> way_delays_, own_delays_;
  std::uint32_t delays_of_ = kNowhere;  // the class, if they are of this tick
  std::uint32_t delays_in_ = kNowhere;  // the group
};

}  // namespace internal
SEER_END_NAMESPACE
