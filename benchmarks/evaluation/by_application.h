// The same truth and forecasts with each application as one: an operator who is told that an
// application will be slow may not ask for which of its request classes.
//
//   violation   from the first start to the last end of violations of its classes that are less
//   than
//               a second apart; culprit, cause and the rest are those of the first
//   tail        the largest, as a part of its class's target; the target is 1
//   forecast    alarm if any class has one; P is the largest, and so is who is to blame
//
// A class is "application/name"; what comes before the '/' is the application.
#pragma once

#include <string>
#include <string_view>

#include "benchmarks/evaluation/rows.h"
#include "benchmarks/evaluation/trace.h"

namespace seer::evaluation {

std::string ApplicationOf(std::string_view request_class);
Recording ByApplication(const Recording& truth);  // without its forecasts
Trace ByApplication(const Trace& trace);

}  // namespace seer::evaluation
