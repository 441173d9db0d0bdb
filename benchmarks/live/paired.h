// The same requests with something and without it, in turns: what it costs, and how sure that is.
#pragma once

#include <cstddef>
#include <vector>

namespace seer::bench {

// A mean with the interval in which it is 19 times of 20 (Student's t over the pairs).
struct Interval {
  double mean = 0, low = 0, high = 0;
};
// Of fewer than two values: the interval is infinite.
Interval IntervalOf(const std::vector<double>& values);

// Of requests by their place in the schedule, what each took; negative: it was not answered.
struct Pair {
  std::vector<float> without, with;
};
// How much longer a request takes with it, in % of what requests take without: of a pair the mean
// of the differences, request by request, without the fifth of them that is smallest and the fifth
// that is largest. A few requests wait for whatever else the machine does: they are a hundred times
// as long as others, and their mean is that of noise. The first `skip` requests make connections.
Interval AddedPercent(const std::vector<Pair>& pairs, std::size_t skip);

}  // namespace seer::bench
