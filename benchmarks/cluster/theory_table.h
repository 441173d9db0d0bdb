// What queueing theory knows beside what the simulator measures, as a table: systems in closed
// form, the growth of a queue after a fault, and the laws that hold on every station of an
// application.
#pragma once

#include <string>

namespace seer::cluster {

// Each system for so many simulated seconds; the applications out of this folder. Returns how many
// rows are outside their 99 % interval: of 100 about one.
int PrintTheoryTable(double seconds, const std::string& graphs);

}  // namespace seer::cluster
