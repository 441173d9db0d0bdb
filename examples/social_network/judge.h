// What happened in one part of a run, and how well it was foreseen: what the report and the last
// lines on the terminal are made of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fault_script.h"
#include "news.h"
#include "schedule.h"

namespace social {

struct LatencySecond {
  std::int64_t end_ns = 0;
  std::array<double, kRequestKinds> p50_ms = {}, p99_ms = {}, per_s = {};
};
// Of one class; times are unix times.
struct Missed {
  std::size_t kind = 0;
  std::int64_t start_ns = 0, end_ns = 0;
};
struct Alarm {
  std::size_t kind = 0;
  std::int64_t at_ns = 0;
  std::string blamed;
  double share = 0;
  bool lasts = false;  // it had begun before
};
struct Diagnosed {
  std::size_t kind = 0;
  std::int64_t at_ns = 0;
  std::string culprit, cause, evidence;
  double confidence = 0;
};
struct Done {
  std::uint64_t id = 0;
  std::int64_t at_ns = 0;
  std::string service, action, from, to, cause, outcome, detail;
};
struct QueuesAt {
  std::int64_t at_ns = 0;
  std::map<std::string, std::array<double, 3>> depths;  // outstanding, queued, self
};
struct FaultMade {
  Fault fault;
  std::int64_t start_ns = 0, end_ns = 0;
};

struct Record {
  std::string title;  // "watch", "act", "none"
  std::int64_t start_ns = 0, end_ns = 0;
  double planned_s = 0;
  std::vector<LatencySecond> seconds;
  // Of all of it but the first 2 s.
  std::array<double, kRequestKinds> p99_ms = {}, p50_ms = {};
  double mean_ms = 0, per_s = 0;
  std::vector<float> each_us;  // of a part without faults: load.h
  std::uint64_t answered = 0, failed = 0, over_target = 0;
  std::vector<Missed> missed;
  std::vector<Alarm> alarms;
  std::vector<Diagnosed> causes;
  std::vector<Done> actions;
  std::vector<QueuesAt> queues;
  std::vector<FaultMade> faults;
  std::vector<std::string> traces;                          // of slow requests, as spans.h says
  std::vector<std::pair<std::string, std::string>> calls;   // caller, callee
  std::vector<std::pair<std::int64_t, std::string>> notes;  // what else people should know
  std::string predictor;
  double seer_cpu_share = 0;    // of the machine: agent and control plane
  double longest_pause_ms = 0;  // without a forecast, after one of these was killed
  int killed = 0;

  void Take(const News& news);
};

// Alarms and violations of a class are matched one to one, as include/seer/README.md says.
struct Hit {
  std::size_t missed = 0;  // index in Record::missed
  std::size_t alarm = 0;   // index in Record::alarms
  double lead_ms = 0;
  bool culprit_right = false;
  bool cause_right = false;
};
struct Verdict {
  std::size_t violations = 0;
  std::size_t of_faults = 0;  // that started while a fault lasted, or soon after
  std::vector<Hit> hits;
  std::size_t culprit_right = 0, cause_right = 0;  // of the hits on violations of faults
  std::size_t hits_of_faults = 0;
  std::size_t late = 0, false_alarms = 0;
  double hours = 0;
  double missed_s = 0;               // how long targets were missed
  std::size_t faults_that_hurt = 0;  // faults with a violation
};
Verdict Judge(const Record& record);

// The fault behind a violation that starts then: index in Record::faults; -1: none.
int FaultBehind(const Record& record, std::int64_t start_ns);

}  // namespace social
