#include "view.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace {

using Life = seer::ProcessInfo::Life;

constexpr std::chrono::seconds kShownAfterEnd{5};
constexpr std::chrono::milliseconds kRateOver{1000};
constexpr std::size_t kInOneLine = 12;

const char* Name(Life life) {
  switch (life) {
    case Life::kRuns:
      return "alive";
    case Life::kClosed:
      return "ended";
    case Life::kDied:
      return "dead";
  }
  return "?";
}

// Names come from other processes. Control characters are not in them; of the rest we print ASCII.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

std::string QueueName(const seer::QueueInfo& info) {
  if (!info.channel) return "calls " + Printable(info.callee);
  return info.name.empty() ? std::string(seer::ChannelName(*info.channel)) : Printable(info.name);
}

// As long as `depth` is, with a mark where the deepest was.
std::string Bar(std::uint32_t depth, std::uint32_t deepest, std::uint32_t full, int columns) {
  if (columns <= 0) return "";
  std::string bar(static_cast<std::size_t>(columns), ' ');
  const auto place = [&](std::uint32_t value) {  // how many columns; one for the smallest depth
    if (value == 0) return std::size_t{0};
    const auto filled = std::uint64_t{value} * static_cast<std::uint64_t>(columns) / full;
    return static_cast<std::size_t>(
        std::clamp<std::uint64_t>(filled, 1, static_cast<std::uint64_t>(columns)));
  };
  if (deepest > 0) bar[place(deepest) - 1] = '|';
  std::fill_n(bar.begin(), place(depth), '#');
  return bar;
}

template <typename... Values>
std::string Format(const char* format, Values... values) {
  char text[512];
  const int bytes = std::snprintf(text, sizeof text, format, values...);
  return std::string(text, static_cast<std::size_t>(std::clamp(bytes, 0, 511)));
}

}  // namespace

View::Line& View::Find(const std::string& file, const seer::QueueInfo& info) {
  const std::string service = Printable(info.service);
  const std::string queue = QueueName(info);
  for (Line& line : lines_) {
    if (line.file == file && line.service == service && line.queue == queue) return line;
  }
  lines_.emplace_back();
  Line& line = lines_.back();
  line.file = file;
  line.service = service;
  line.queue = queue;
  return line;
}

void View::Update(const seer::Reader& reader, const seer::NodeReading& reading, Time now) {
  for (std::size_t i = 0; i < reading.queues.size(); ++i) {
    const seer::QueueInfo& info = reader.queues()[i];
    const seer::ProcessInfo& process = reader.processes()[info.process];
    Line& line = Find(process.file, info);
    line.instance = Printable(process.instance);
    line.pid = process.pid;
    line.life = process.life;
    line.changed = now;
    line.reading = reading.queues[i];
    line.deepest = std::max(line.deepest, line.reading.depth);
    line.counts.push_back({now, line.reading.enqueued, line.reading.dequeued});
    while (line.counts.size() > 2 && now - line.counts.front().time > kRateOver) {
      line.counts.pop_front();
    }
  }
  // A process that ended is in one more reading; we show it a little longer.
  const auto over = [now](const Line& line) { return now - line.changed > kShownAfterEnd; };
  lines_.erase(std::remove_if(lines_.begin(), lines_.end(), over), lines_.end());
}

double View::Rate(const Line& line, std::uint64_t Count::*counter) {
  if (line.life != Life::kRuns || line.counts.size() < 2) return 0;
  const Count& first = line.counts.front();
  const Count& last = line.counts.back();
  return static_cast<double>(last.*counter - first.*counter) /
         std::chrono::duration<double>(last.time - first.time).count();
}

std::vector<ScreenLine> View::Lines(int columns) const {
  if (lines_.empty()) return {{"no queues yet"}};
  std::uint32_t full = 10;
  for (const Line& line : lines_) full = std::max(full, line.deepest);
  constexpr int kOthers = 60;  // columns beside the bar
  const int bar = std::clamp(columns - kOthers, 0, 60);

  std::vector<ScreenLine> lines;
  lines.push_back({Format("%-18s %7s %-*s %8s %8s %6s %6s", "", "depth", bar, "", "in/s", "out/s",
                          "off by", "max"),
                   "2"});
  const Line* before = nullptr;
  for (const Line& line : lines_) {
    const bool runs = line.life == Life::kRuns;
    if (before == nullptr || before->file != line.file || before->service != line.service) {
      lines.push_back({Format("%s, %s (pid %llu): %s", line.service.c_str(), line.instance.c_str(),
                              static_cast<unsigned long long>(line.pid), Name(line.life)),
                       runs ? "1" : "1;31"});
    }
    before = &line;
    // The depth is exact, or the true one is larger by at most the width.
    const std::string off = line.reading.width == 0 ? "exact" : Format("+%u", line.reading.width);
    lines.push_back(
        {Format("  %-16.16s %7u %s %8.0f %8.0f %6s %6u", line.queue.c_str(), line.reading.depth,
                Bar(line.reading.depth, line.deepest, full, bar).c_str(),
                Rate(line, &Count::enqueued), Rate(line, &Count::dequeued), off.c_str(),
                line.deepest),
         runs ? "" : "31"});
  }
  return lines;
}

std::string View::OneLine() const {
  if (lines_.empty()) return "no queues yet\n";
  std::string text;
  const Line* before = nullptr;
  std::size_t shown = 0;
  for (const Line& line : lines_) {
    if (shown++ == kInOneLine) {
      text += Format("  and %zu more", lines_.size() - kInOneLine);
      break;
    }
    if (before == nullptr || before->file != line.file || before->service != line.service) {
      text +=
          Format("%s%s %s", before == nullptr ? "" : "  ", line.service.c_str(), Name(line.life));
    }
    before = &line;
    const std::string off = line.reading.width == 0 ? "" : Format("+%u", line.reading.width);
    text += Format("  %s %u%s (%.0f/s in, %.0f/s out, max %u)", line.queue.c_str(),
                   line.reading.depth, off.c_str(), Rate(line, &Count::enqueued),
                   Rate(line, &Count::dequeued), line.deepest);
  }
  return text + "\n";
}

std::string View::Summary() const {
  std::string text;
  for (const Line& line : lines_) {
    text += Format("%s %s: %llu came, %llu left, at most %u deep; %s\n", line.service.c_str(),
                   line.queue.c_str(), static_cast<unsigned long long>(line.reading.enqueued),
                   static_cast<unsigned long long>(line.reading.dequeued), line.deepest,
                   Name(line.life));
  }
  return text;
}
