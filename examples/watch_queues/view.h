// What a Reader saw, as lines of text: one for each queue, or one for all.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "screen.h"
#include "seer/queue/reader.h"

class View {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Takes in what reader.Read() gave at `now`.
  void Update(const seer::Reader& reader, const seer::NodeReading& reading, Time now);

  std::vector<ScreenLine> Lines(int columns) const;
  std::string OneLine() const;
  // A line for each queue that was ever seen (and not forgotten), for the end.
  std::string Summary() const;

 private:
  struct Count {
    Time time;
    std::uint64_t enqueued, dequeued;
  };
  struct Line {
    std::string file;  // with the next two, which queue it is
    std::string service;
    std::string queue;
    std::string instance;
    std::uint64_t pid = 0;
    seer::ProcessInfo::Life life = seer::ProcessInfo::Life::kRuns;
    Time changed;  // when it was last read
    seer::QueueReading reading;
    std::uint32_t deepest = 0;
    std::deque<Count> counts;  // of the last second
  };

  Line& Find(const std::string& file, const seer::QueueInfo& info);
  static double Rate(const Line& line, std::uint64_t Count::*counter);

  std::vector<Line> lines_;
};
