// Which request is due when: drawn beforehand, so that a slow application does not change it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>

namespace social {

enum class RequestKind { kReadHome, kReadUser, kCompose };
inline constexpr std::size_t kRequestKinds = 3;
inline constexpr const char* kRequestNames[kRequestKinds] = {"read-home-timeline",
                                                             "read-user-timeline", "compose-post"};

enum class Shape {
  kConstant,
  kDiurnal,  // half to one and a half of the rate; a day is a minute
  kSpikes,   // three times the rate for 2 s in every 20 s
};
std::optional<Shape> ShapeOf(const std::string& name);

struct Arrival {
  std::int64_t at_ns = 0;  // since the start
  RequestKind kind = RequestKind::kReadHome;
  std::uint64_t draw = 0;  // random: who asks, and for what
};

// Requests at random moments (Poisson): 60 % read a home timeline, 30 % a user's, 10 % compose. The
// same arguments give the same requests.
class Schedule {
 public:
  Schedule(double requests_per_s, Shape shape, std::uint64_t seed)
      : rate_(requests_per_s), shape_(shape), random_(seed) {}

  Arrival Next();
  double RateAt(std::int64_t since_start_ns) const;  // requests per second

 private:
  double HighestRate() const;

  const double rate_;
  const Shape shape_;
  std::mt19937_64 random_;
  double at_s_ = 0;
};

}  // namespace social
