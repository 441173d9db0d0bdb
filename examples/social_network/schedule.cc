#include "schedule.h"

#include <cmath>

namespace social {
namespace {

constexpr double kDayS = 60;
constexpr double kSpikeEveryS = 20;
constexpr double kSpikeS = 2;
constexpr double kSpikeTimes = 3;
constexpr double kSwing = 0.5;
constexpr double kPi = 3.14159265358979323846;

}  // namespace

std::optional<Shape> ShapeOf(const std::string& name) {
  if (name == "constant") return Shape::kConstant;
  if (name == "diurnal") return Shape::kDiurnal;
  if (name == "spikes") return Shape::kSpikes;
  return std::nullopt;
}

double Schedule::RateAt(std::int64_t since_start_ns) const {
  const double s = static_cast<double>(since_start_ns) / 1e9;
  switch (shape_) {
    case Shape::kDiurnal:
      return rate_ * (1 + kSwing * std::sin(2 * kPi * s / kDayS));
    case Shape::kSpikes:
      // At the end of each period: the first seconds are quiet.
      return std::fmod(s, kSpikeEveryS) >= kSpikeEveryS - kSpikeS ? rate_ * kSpikeTimes : rate_;
    case Shape::kConstant:
      break;
  }
  return rate_;
}

double Schedule::HighestRate() const {
  if (shape_ == Shape::kDiurnal) return rate_ * (1 + kSwing);
  if (shape_ == Shape::kSpikes) return rate_ * kSpikeTimes;
  return rate_;
}

Arrival Schedule::Next() {
  // Moments at the highest rate, of which as many are kept as the rate of the moment wants.
  Arrival arrival;
  const double highest = HighestRate();
  std::uniform_real_distribution<double> share(0, 1);
  do {
    at_s_ += std::exponential_distribution<double>(highest)(random_);
    arrival.at_ns = static_cast<std::int64_t>(at_s_ * 1e9);
  } while (share(random_) * highest >= RateAt(arrival.at_ns));
  const double kind = share(random_);
  arrival.kind = kind < 0.6   ? RequestKind::kReadHome
                 : kind < 0.9 ? RequestKind::kReadUser
                              : RequestKind::kCompose;
  arrival.draw = random_();
  return arrival;
}

}  // namespace social
