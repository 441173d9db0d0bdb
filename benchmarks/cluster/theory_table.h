// What queueing theory knows in closed form beside what the simulator measures, as a table.
#pragma once

namespace seer::cluster {

// Each system for so many simulated seconds. Returns how many are outside their 99 % interval: of
// 50 about one in two tables.
int PrintTheoryTable(double seconds);

}  // namespace seer::cluster
