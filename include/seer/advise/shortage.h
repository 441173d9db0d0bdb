// Flow: HwReading -> [ShortageOf] -> Shortage -> Advisor
//
// How much of a resource is short, so that an action can be as large as it has to be: how many
// requests stand there and wait for it, and how fast they become more.
//
//   const seer::Shortage cpu = seer::ShortageOf(total, newest, seer::Resource::kCpu);
//   const double cores = seer::LimitNeeded(cpu, 2.0, 0.5);  // for half a second from now
//
// By Little's law the delay that requests gathered in an interval, over the interval, is how many
// waited at a time. Together with those that ran they are what a limit would have to hold.
//
// Threads: pure functions. Cost: 10 ns.
#pragma once

#include "seer/core/config.h"
#include "seer/core/hw_reading.h"

SEER_BEGIN_NAMESPACE

struct Shortage {
  double used = 0;     // of the limit, 0 to 1
  double waiting = 0;  // at a time, of late
  double growth = 0;   // of `waiting`, each second
  double wait_us = 0;  // of one request
  bool used_known = false;
  bool known() const { return used > 0 || waiting > 0; }
};

// `total` holds the readings of some time, `newest` the last of them (attribution.h). What was not
// observed is 0.
Shortage ShortageOf(const HwReading& total, const HwReading& newest, Resource resource);

// Limit in which those that run and wait, and those who come within `ahead_s`, have room, at seven
// tenths of it in use; 0 where nothing is known. `limit`: what is in place.
double LimitNeeded(const Shortage& shortage, double limit, double ahead_s);

SEER_END_NAMESPACE
