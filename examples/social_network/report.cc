#include "report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <sstream>
#include <utility>

#include "targets.h"

namespace social {
namespace {

constexpr char kHead[] = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>social network: what seer foresaw</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --back: #fbfbf8; --ink: #1c1f24; --pale: #6b7280; --line: #d8dadf; --card: #fff;
  --c0: #0072b2; --c1: #009e73; --c2: #cc79a7; --c3: #d55e00; --c4: #7f3fbf;
  --fault: #e69f0033; --missed: #d5282833; --bad: #c92a2a; --good: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --back: #15171b; --ink: #e6e7ea; --pale: #9aa1ac;
  --line: #33373f; --card: #1d2026; --c0: #56b4e9; --c1: #35c69b; --c2: #e59ac6; --c3: #ff8c42;
  --c4: #b48ef0; --fault: #e69f003d; --missed: #ff5a5a42; --bad: #ff7b7b; --good: #56b4e9; } }
body { background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 960px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p, li { max-width: 70ch; } .pale { color: var(--pale); }
.chart, .wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: .5rem; margin: .6rem 0; }
.chart svg { width: 100%; min-width: 620px; display: block; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.names td { vertical-align: top; } .names td.n, .names td:nth-child(3) { white-space: nowrap; }
.lead { font-size: 1.12rem; }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif; } svg .title { font-weight: 600; }
svg .axis { fill: var(--ink); } svg .small { fill: var(--pale); font-size: 9px; }
.grid { stroke: var(--line); fill: none; } .target { stroke: var(--bad); stroke-dasharray: 5 4; fill: none; }
.line { fill: none; stroke-width: 1.6; } .bar { fill: var(--c0); }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); }
.fault { fill: var(--fault); } .missed { fill: var(--missed); } .alarm { fill: var(--c3); }
.action { fill: var(--good); } .edge { fill: none; stroke: var(--pale); stroke-width: 1.1; opacity: .55; }
.node { fill: var(--card); stroke: var(--pale); } .span { fill: var(--c0); }
.guilty { stroke: var(--bad); stroke-width: 2.5; } .span.guilty { fill: var(--bad); }
</style></head><body>
)";

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// "3 of 4"; "-" where there is nothing to count.
std::string Of(std::size_t some, std::size_t all) {
  return all == 0 ? "-" : std::to_string(some) + " of " + std::to_string(all);
}

std::string TitleOf(const Record& record) {
  if (record.title == "none") return "without seer";
  return record.title == "act" ? "seer acts" : "seer watches";
}

struct Row {
  std::string name;
  std::vector<std::string> values;
};

std::vector<Row> RowsOf(const std::vector<Record>& records) {
  std::vector<Row> rows = {{"faults (of these some violated a target)", {}},
                           {"violations", {}},
                           {"time with a target missed", {}},
                           {"foreseen 100 ms to 2 s ahead", {}},
                           {"of these, of faults: initiator right", {}},
                           {"of these, of faults: cause right, too", {}},
                           {"alarms too late", {}},
                           {"false alarms", {}},
                           {"median lead", {}},
                           {"actions that changed something", {}},
                           {"requests over their target", {}},
                           {"p99 home / user / compose", {}},
                           {"seer's part of the machine's processors", {}}};
  for (const Record& record : records) {
    const Verdict verdict = Judge(record);
    std::vector<double> leads;
    for (const Hit& hit : verdict.hits) leads.push_back(hit.lead_ms);
    std::sort(leads.begin(), leads.end());
    const auto applied = std::count_if(
        record.actions.begin(), record.actions.end(),
        [](const Done& done) { return done.outcome.find("applied") != std::string::npos; });
    const bool none = record.title == "none";
    const std::vector<std::string> values = {
        std::to_string(record.faults.size()) + " (" + std::to_string(verdict.faults_that_hurt) +
            ")",
        std::to_string(verdict.violations),
        Format("%.1f s", verdict.missed_s),
        none ? "-" : Of(verdict.hits.size(), verdict.violations),
        Of(verdict.culprit_right, verdict.hits_of_faults),
        Of(verdict.cause_right, verdict.hits_of_faults),
        none ? "-" : std::to_string(verdict.late),
        none ? "-" : std::to_string(verdict.false_alarms),
        leads.empty() ? "-" : Format("%.0f ms", leads[leads.size() / 2]),
        std::to_string(applied),
        std::to_string(record.over_target) + " of " + std::to_string(record.answered),
        Format("%.1f / ", record.p99_ms[0]) + Format("%.1f / ", record.p99_ms[1]) +
            Format("%.1f ms", record.p99_ms[2]),
        none ? "-" : Format("%.2f %%", record.seer_cpu_share * 100)};
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].values.push_back(values[i]);
  }
  return rows;
}

// What a run came to in two sentences, for those who read no more.
std::string Headline(const std::vector<Record>& records) {
  const Record *calm = nullptr, *acting = nullptr;
  for (const Record& record : records) {
    if (record.title == "act") acting = &record;
    if (record.title != "act" && calm == nullptr) calm = &record;
  }
  std::string text;
  if (acting != nullptr && calm != nullptr && calm->over_target > 0) {
    const double share =
        static_cast<double>(acting->over_target) / static_cast<double>(calm->over_target);
    text = "Faults made " + std::to_string(calm->over_target) + " of " +
           std::to_string(calm->answered) + " requests late; while seer acted, " +
           std::to_string(acting->over_target);
    if (share < 1) text += ": " + Format("%.0f %%", 100 * (1 - share)) + " fewer";
    text += ". ";
  }
  std::size_t violations = 0, hits = 0, of_faults = 0, right = 0, false_alarms = 0;
  std::vector<double> leads;
  for (const Record& record : records) {
    if (record.title == "none") continue;
    const Verdict verdict = Judge(record);
    violations += verdict.violations;
    hits += verdict.hits.size();
    of_faults += verdict.hits_of_faults;
    right += verdict.culprit_right;
    false_alarms += verdict.false_alarms;
    for (const Hit& hit : verdict.hits) leads.push_back(hit.lead_ms);
  }
  if (violations == 0) return text;
  text += "Of " + std::to_string(violations) + " violations, seer foresaw " + std::to_string(hits);
  if (!leads.empty()) {
    std::sort(leads.begin(), leads.end());
    text += ", half of them " + Format("%.0f ms", leads[leads.size() / 2]) + " ahead or more";
  }
  if (of_faults > 0) {
    text += ", and named the service where the fault was for " + Of(right, of_faults);
  }
  return text + "; false alarms: " + std::to_string(false_alarms) + ".";
}

std::string FaultTable(const Record& record) {
  std::string html =
      "<p class=\"pale\">What seer said while each fault lasted; what was right is bold.</p>\n<div "
      "class=\"wide\"><table class=\"names\"><tr><th "
      "class=\"n\">at</th><th>fault</th><th>violations</th>"
      "<th>alarms</th><th>diagnosis</th><th>actions</th></tr>\n";
  for (std::size_t i = 0; i < record.faults.size(); ++i) {
    const FaultMade& made = record.faults[i];
    const auto during = [&](std::int64_t at) {
      return FaultBehind(record, at) == static_cast<int>(i);
    };
    // Each once, in the order in which they came; what is right is bold.
    using Lines = std::vector<std::string>;
    Lines violations, alarms, causes, actions;
    const auto add = [](std::string line, bool right, Lines* to) {
      line = Escaped(ShortNames(std::move(line)));
      if (right) line = "<b>" + line + "</b>";
      if (std::find(to->begin(), to->end(), line) == to->end()) to->push_back(std::move(line));
    };
    for (const Missed& missed : record.missed) {
      if (during(missed.start_ns)) add(kRequestNames[missed.kind], false, &violations);
    }
    for (const Alarm& alarm : record.alarms) {
      if (during(alarm.at_ns)) add(alarm.blamed, alarm.blamed == made.fault.target, &alarms);
    }
    for (const Diagnosed& found : record.causes) {
      if (!during(found.at_ns)) continue;
      add(found.culprit + ": " + found.cause,
          found.culprit == made.fault.target && found.cause == made.fault.cause(), &causes);
    }
    for (const Done& done : record.actions) {
      if (!during(done.at_ns)) continue;
      add(done.service + ": " + done.action + (done.outcome.empty() ? "" : ", " + done.outcome),
          false, &actions);
    }
    const auto joined = [](const Lines& all) {
      std::string text;
      for (const std::string& one : all) text += (text.empty() ? "" : "<br>") + one;
      return "<td>" + (text.empty() ? "-" : text) + "</td>";
    };
    html += "<tr><td class=\"n\">" +
            Format("%.1f s", static_cast<double>(made.start_ns - record.start_ns) / 1e9) +
            "</td><td>" + Escaped(ShortNames(made.fault.Describe())) + "</td>" +
            joined(violations) + joined(alarms) + joined(causes) + joined(actions) + "</tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    if (letter == '<') {
      escaped += "&lt;";
    } else if (letter == '>') {
      escaped += "&gt;";
    } else if (letter == '&') {
      escaped += "&amp;";
    } else if (letter == '"') {
      escaped += "&quot;";
    } else {
      escaped += letter;
    }
  }
  return escaped;
}

std::string ShortNames(std::string text) {
  static const std::string end = "-service";
  for (std::size_t at; (at = text.find(end)) != std::string::npos;) text.erase(at, end.size());
  return text;
}

std::string Summary(const Record& record) {
  std::string text = "\npart '" + record.title + "', " + TitleOf(record) + ":\n";
  for (const Row& row : RowsOf({record})) {
    char line[160];
    std::snprintf(line, sizeof line, "  %-42s %s\n", row.name.c_str(), row.values[0].c_str());
    text += line;
  }
  if (record.killed > 0) {
    text += "  killed " + std::to_string(record.killed) + " of seer's processes; " +
            Format("longest time without a forecast %.0f ms\n", record.longest_pause_ms);
  }
  const double seconds = static_cast<double>(record.end_ns - record.start_ns) / 1e9;
  text += "in all: " + Format("%.1f requests/s", static_cast<double>(record.answered) / seconds);
  if (record.failed > 0) text += ", " + std::to_string(record.failed) + " failed";
  std::set<std::string> seen;
  for (const QueuesAt& at : record.queues) {
    for (const auto& each : at.depths) seen.insert(each.first);
  }
  text += "\nqueues seen of:";
  for (const std::string& name : seen) text += " " + name;
  return text + "\n";
}

std::string FiguresJson(const std::vector<Record>& records) {
  std::ostringstream json;
  json << "[";
  for (const Record& record : records) {
    const Verdict verdict = Judge(record);
    json << (&record == records.data() ? "" : ",\n ") << "{\"part\":\"" << record.title
         << "\",\"hours\":" << verdict.hours << ",\"answered\":" << record.answered
         << ",\"failed\":" << record.failed << ",\"over_target\":" << record.over_target
         << ",\"violations\":" << verdict.violations << ",\"of_faults\":" << verdict.of_faults
         << ",\"hits\":" << verdict.hits.size() << ",\"hits_of_faults\":" << verdict.hits_of_faults
         << ",\"culprit_right\":" << verdict.culprit_right
         << ",\"cause_right\":" << verdict.cause_right << ",\"late\":" << verdict.late
         << ",\"false_alarms\":" << verdict.false_alarms << ",\"missed_s\":" << verdict.missed_s
         << ",\"faults\":" << record.faults.size()
         << ",\"faults_that_hurt\":" << verdict.faults_that_hurt
         << ",\"cpu_share\":" << record.seer_cpu_share
         << ",\"longest_pause_ms\":" << record.longest_pause_ms << ",\"killed\":" << record.killed
         << ",\"mean_ms\":" << record.mean_ms << ",\"per_s\":" << record.per_s << ",\"p50_ms\":["
         << record.p50_ms[0] << "," << record.p50_ms[1] << "," << record.p50_ms[2]
         << "],\"p99_ms\":[" << record.p99_ms[0] << "," << record.p99_ms[1] << ","
         << record.p99_ms[2] << "]";
    if (!record.each_us.empty()) {  // what the same requests took in two parts can be compared
      json << ",\"each_us\":[";
      for (std::size_t i = 0; i < record.each_us.size(); ++i) {
        json << (i > 0 ? "," : "") << std::lround(record.each_us[i]);
      }
      json << "]";
    }
    json << "}";
  }
  json << "]\n";
  return json.str();
}

std::string ReportHtml(const std::vector<Record>& records, const std::vector<std::string>& missing,
                       const Options& options) {
  std::string html = kHead;
  html += "<h1>A social network, and what seer foresaw</h1>\n";
  const std::string headline = Headline(records);
  if (!headline.empty()) html += "<p class=\"lead\">" + headline + "</p>\n";
  html += "<p class=\"pale\">" + Format("%.0f requests/s", options.rate) + ", seed " +
          std::to_string(options.seed) +
          "; the same requests and the same faults in each part. Predictor: " +
          Escaped(records.back().predictor.empty() ? "none" : records.back().predictor) + ".</p>\n";
  for (const std::string& each : missing) {
    html += "<p>Left out, " + Escaped(each) + ".</p>\n";
  }
  html += "<div class=\"wide\"><table><tr><th></th>";
  for (const Record& record : records) html += "<th class=\"n\">" + TitleOf(record) + "</th>";
  html += "</tr>\n";
  for (const Row& row : RowsOf(records)) {
    html += "<tr><td>" + Escaped(row.name) + "</td>";
    for (const std::string& value : row.values) html += "<td class=\"n\">" + value + "</td>";
    html += "</tr>\n";
  }
  html +=
      "</table></div>\n<p class=\"pale\">Few events make rough figures: one run is an example, "
      "and no evaluation.</p>\n";
  std::array<double, kRequestKinds> most_ms = {};
  double most_standing = 0;
  for (const Record& record : records) {
    most_standing = std::max(most_standing, MostStanding(record));
    for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
      most_ms[kind] = std::max(most_ms[kind], MostLatency(record, kind));
    }
  }
  for (const Record& record : records) {
    html += "<h2>Part: " + TitleOf(record) +
            "</h2>\n<p class=\"pale\">Yellow: a fault lasts. Red: the target is missed. Orange "
            "triangles: alarms; blue ones: actions.</p>\n";
    for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
      html += "<div class=\"chart\">" +
              LatencyChart(record, kind, static_cast<double>(Targets()[kind].latency_ns) / 1e6,
                           most_ms[kind]) +
              "</div>\n";
    }
    if (!record.queues.empty()) {
      html += "<div class=\"chart\">" + QueueChart(record, most_standing) + "</div>\n";
    }
    if (!record.faults.empty()) html += FaultTable(record);
  }
  html += "<h2>Leads</h2><div class=\"chart\">" + LeadChart(records) + "</div>\n";
  html += "<h2>Who calls whom, and who initiated violations</h2><div class=\"chart\">" +
          CallGraph(records) + "</div>\n";
  html +=
      "<h2>Slow requests</h2><p class=\"pale\">Each the slowest of two seconds, ms. Red: more "
      "than half of it.</p>\n";
  std::vector<std::pair<double, std::string>> slowest;
  for (const Record& record : records) {
    for (const std::string& trace : record.traces) {
      const std::size_t blank = trace.find(' ');
      if (blank == std::string::npos) continue;
      slowest.emplace_back(-std::strtod(trace.c_str() + blank, nullptr), trace);
    }
  }
  std::sort(slowest.begin(), slowest.end());
  for (std::size_t i = 0; i < std::min<std::size_t>(5, slowest.size()); ++i) {
    html += "<div class=\"chart\">" + TraceChart(slowest[i].second) + "</div>\n";
  }
  return html + "</body></html>\n";
}

}  // namespace social
