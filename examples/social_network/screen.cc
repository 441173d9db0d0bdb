#include "screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "targets.h"

namespace social {
namespace {

constexpr std::size_t kMostBars = 14, kMostEvents = 10;
constexpr std::size_t kOtherLines = 8;   // of the screen
constexpr std::size_t kBesideBars = 42;  // columns

bool IsTerminal() {
  const char* const kind = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && kind != nullptr && std::strcmp(kind, "dumb") != 0;
}

struct Size {
  std::size_t rows = 24, columns = 80;
};

Size SizeOfScreen() {
  Size size;
  winsize window = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0 && window.ws_col > 0) {
    size = {window.ws_row, window.ws_col};
  }
  // Smaller ones scroll, and wider ones are not easier to read.
  size.rows = std::max<std::size_t>(size.rows, kOtherLines + 6);
  size.columns = std::clamp<std::size_t>(size.columns, kBesideBars + 10, 110);
  return size;
}

struct Event {
  std::int64_t at_ns;
  std::string text;
};

std::string Percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.0f %%", share * 100);
  return text;
}

Event EventOf(const Alarm& alarm) {
  return {alarm.at_ns, "ALARM      " + std::string(kRequestNames[alarm.kind]) + ", initiator " +
                           alarm.blamed + " (" + Percent(alarm.share) + ")"};
}
Event EventOf(const Missed& missed) {
  return {missed.start_ns, "violation  of " + std::string(kRequestNames[missed.kind])};
}
Event EventOf(const Diagnosed& cause) {
  return {cause.at_ns, "cause      " + cause.culprit + ": " + cause.cause + " (" +
                           Percent(cause.confidence) + ")" +
                           (cause.evidence.empty() ? "" : ", " + cause.evidence)};
}
Event EventOf(const Done& done) {
  std::string text = "action     " + done.service + ": " + done.action;
  if (done.action != "report") text += " " + done.from + " -> " + done.to;
  if (!done.outcome.empty()) text += ", " + done.outcome;
  return {done.at_ns, std::move(text)};
}
Event EventOf(const std::pair<std::int64_t, std::string>& note) {
  return {note.first, "note       " + note.second};
}
Event EventOf(const FaultMade& made) {
  return {made.start_ns, "fault      " + made.fault.Describe()};
}

template <typename T>
void Append(const std::vector<T>& all, std::size_t from, std::vector<Event>* events) {
  for (std::size_t i = from; i < all.size(); ++i) events->push_back(EventOf(all[i]));
}

void Sort(std::vector<Event>* events) {
  std::stable_sort(events->begin(), events->end(),
                   [](const Event& a, const Event& b) { return a.at_ns < b.at_ns; });
}

std::string Stamp(const Record& record, std::int64_t at_ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%6.1f s  ", static_cast<double>(at_ns - record.start_ns) / 1e9);
  return text;
}

constexpr const char* kShortNames[kRequestKinds] = {"home", "user", "compose"};

std::string LatencyLine(const LatencySecond& second) {
  std::string text;
  for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
    char part[96];
    std::snprintf(part, sizeof part, "%s%s %.0f/s p50 %.1f p99 %.1f ms", kind > 0 ? "   " : "",
                  kShortNames[kind], second.per_s[kind], second.p50_ms[kind], second.p99_ms[kind]);
    text += part;
  }
  return text;
}

std::string Bar(double depth, std::size_t width) {
  const auto length = static_cast<std::size_t>(std::max(0.0, depth) + 0.5);
  return length <= width ? std::string(length, '#') : std::string(width - 1, '#') + "+";
}

}  // namespace

View::View() : terminal_(IsTerminal()) {
  if (terminal_) std::fputs("\x1b[?1049h\x1b[?25l", stdout);  // the other screen, no cursor
}

View::~View() {
  if (terminal_) std::fputs("\x1b[?25h\x1b[?1049l", stdout);
  std::fflush(stdout);
}

void View::Show(const Record& record) {
  if (record.seconds.empty()) return;
  if (record.seconds.size() == 1)
    alarms_ = missed_ = actions_ = faults_ = causes_ = notes_ = 0;  // a new part
  terminal_ ? ShowScreen(record) : ShowLines(record);
  std::fflush(stdout);
}

void View::ShowLines(const Record& record) {
  if (record.seconds.size() == 1) std::printf("part '%s'\n", record.title.c_str());
  std::vector<Event> events;
  Append(record.alarms, alarms_, &events);
  Append(record.missed, missed_, &events);
  Append(record.actions, actions_, &events);
  Append(record.faults, faults_, &events);
  Append(record.causes, causes_, &events);
  Append(record.notes, notes_, &events);
  alarms_ = record.alarms.size();
  missed_ = record.missed.size();
  actions_ = record.actions.size();
  faults_ = record.faults.size();
  causes_ = record.causes.size();
  notes_ = record.notes.size();
  Sort(&events);
  for (const Event& event : events) {
    std::printf("%s%s\n", Stamp(record, event.at_ns).c_str(), event.text.c_str());
  }
  const LatencySecond& second = record.seconds.back();
  std::printf("%s%s\n", Stamp(record, second.end_ns).c_str(), LatencyLine(second).c_str());
}

void View::ShowScreen(const Record& record) {
  const Size size = SizeOfScreen();
  const std::size_t left = size.rows - kOtherLines;
  const std::size_t most_events = std::min(kMostEvents, left * 2 / 5);
  const std::size_t most_bars = std::min(kMostBars, left - most_events);
  std::string text = "\x1b[H";  // the first line; each ends with a clear to its end
  const auto line = [&](const std::string& words, const char* style = "") {
    text += std::string(style) + words.substr(0, size.columns) + "\x1b[0m\x1b[K\r\n";
  };
  const LatencySecond& second = record.seconds.back();
  char words[128];
  std::snprintf(words, sizeof words,
                "social network, part '%s', %.0f of %.0f s   seer: %.1f %% of the machine",
                record.title.c_str(), static_cast<double>(second.end_ns - record.start_ns) / 1e9,
                record.planned_s, record.seer_cpu_share * 100);
  line(words, "\x1b[1m");
  for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
    const double target_ms = static_cast<double>(Targets()[kind].latency_ns) / 1e6;
    std::snprintf(words, sizeof words, "%-8s %4.0f/s   p50 %7.1f   p99 %7.1f ms   target %.0f",
                  kShortNames[kind], second.per_s[kind], second.p50_ms[kind], second.p99_ms[kind],
                  target_ms);
    line(words, second.p99_ms[kind] > target_ms ? "\x1b[31m" : "");
  }
  line("");
  if (!record.queues.empty()) {
    std::vector<std::pair<double, std::string>> deepest;
    for (const auto& [name, depths] : record.queues.back().depths) {
      deepest.emplace_back(-depths[0], name);
    }
    std::sort(deepest.begin(), deepest.end());
    if (deepest.size() > most_bars) deepest.resize(most_bars);
    line("calls at            outstanding   of these its own", "\x1b[2m");
    for (const auto& [depth, name] : deepest) {
      const double self = record.queues.back().depths.at(name)[2];
      std::snprintf(words, sizeof words, "%-28s %5.0f %5.0f  ", name.c_str(), -depth, self);
      line(words + Bar(-depth, size.columns - kBesideBars), self >= 10 ? "\x1b[31m" : "");
    }
  }
  line("");
  std::vector<Event> events;
  Append(record.alarms, 0, &events);
  Append(record.missed, 0, &events);
  Append(record.actions, 0, &events);
  Append(record.faults, 0, &events);
  Append(record.causes, 0, &events);
  Append(record.notes, 0, &events);
  Sort(&events);
  const std::size_t first = events.size() > most_events ? events.size() - most_events : 0;
  for (std::size_t i = first; i < events.size(); ++i) {
    const std::string& event = events[i].text;
    line(Stamp(record, events[i].at_ns) + event, event[0] == 'A'   ? "\x1b[1;33m"
                                                 : event[0] == 'v' ? "\x1b[31m"
                                                 : event[0] == 'f' ? "\x1b[2m"
                                                                   : "");
  }
  std::fputs((text + "\x1b[J").c_str(), stdout);
}

}  // namespace social
