// A forecast, saved and loaded (state_io.h).
#pragma once

#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/internal/state_io.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The same value again, all of it; so equal forecasts have equal bytes.
inline void ForecastState(StateIo& io, Forecast& forecast) {
  std::int64_t period_ns = forecast.period.ns();
  io(forecast.tick), io(period_ns);
  const auto period = TickPeriod::FromNs(period_ns);
  io.Require(period.ok() && period->Contains(forecast.tick), "forecast: a time that cannot be");
  if (!io.ok()) return;
  forecast.period = *period;
  io.List(forecast.classes, 29, [&](ClassForecast& row) {
    io(row.request_class), io(row.alarm);
    io.List(row.horizons, 12,
            [&](HorizonProbability& each) { io(each.horizon_ns), io(each.probability); });
    io.List(row.initiators, 8, [&](Initiator& each) { io(each.service), io(each.probability); });
    io.List(row.evidence, 13, [&](ForecastEvidence& each) {
      io(each.service), io(each.channel), io(each.edge), io(each.weight);
      io.Require(static_cast<std::size_t>(each.channel) < kChannels, "forecast: no such channel");
    });
  });
}

}  // namespace internal
SEER_END_NAMESPACE
