#include "benchmarks/evaluation/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "benchmarks/evaluation/report_text.h"

namespace seer::evaluation {
namespace {

std::string Count(std::uint64_t value) { return std::to_string(value); }

// Rows of cells; the first is the header.
using Table = std::vector<std::vector<std::string>>;

Table MetricTable(const Report& report) {
  Table table(1, {"figure"});
  for (const Score& score : report.scores) table[0].push_back(score.name);
  const auto row = [&](const std::string& name, auto value) {
    std::vector<std::string> cells = {name};
    for (const Score& score : report.scores) cells.push_back(value(score));
    table.push_back(std::move(cells));
  };
  row("violations", [](const Score& s) { return Count(s.violations.size()); });
  row("hours", [](const Score& s) { return Number(s.hours); });
  row("hits", [](const Score& s) { return Count(s.hits); });
  row("alarms", [](const Score& s) { return Count(s.alarms); });
  row("false_alarms", [](const Score& s) { return Count(s.false_alarms); });
  row("near_misses",
      [](const Score& s) { return s.near_misses_known ? Count(s.near_misses) : std::string("-"); });
  if (report.scores.empty()) return table;
  for (const auto& [id, metric] : report.scores[0].metrics) {
    const std::string& name = id;
    row(name, [&](const Score& s) { return MetricText(s.metric(name)); });
  }
  return table;
}

Table GroupTable(const Score& score) {
  Table table = {{"by", "value", "violations", "hits", "late", "culprit right"}};
  for (const GroupScore& g : score.groups) {
    table.push_back({g.column, g.value.empty() ? "(none)" : g.value, Count(g.violations),
                     Count(g.hits), Count(g.late),
                     Count(g.culprits_right) + " of " + Count(g.culprits_known)});
  }
  return table;
}

Table ComparisonTable(const Report& report) {
  Table table = {{"first", "second", "hit by both", "only first", "only second", "neither",
                  "p (recall)", "p (culprit)", "recall, second - first",
                  "false alarms/h, second - first", "p (false alarms)"}};
  for (const Comparison& c : report.comparisons) {
    table.push_back({c.first, c.second, Count(c.both), Count(c.only_first), Count(c.only_second),
                     Count(c.neither), Number(c.recall_p), Number(c.culprit_p),
                     MetricText(c.recall_difference),
                     MetricText(c.false_alarms_per_hour_difference), Number(c.false_alarms_p)});
  }
  return table;
}

std::string TextTable(const Table& table) {
  std::vector<std::size_t> widths;
  for (const auto& row : table) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += line + "\n";
  }
  return text;
}

std::string MarkdownTable(const Table& table) {
  std::string text;
  for (std::size_t r = 0; r < table.size(); ++r) {
    text += "|";
    for (const std::string& cell : table[r]) {
      std::string safe;
      for (const char c : cell) {
        if (c == '|') safe += '\\';
        safe += c == '\n' ? ' ' : c;
      }
      text += " " + safe + " |";
    }
    text += "\n";
    if (r > 0) continue;
    text += "|";
    for (std::size_t i = 0; i < table[r].size(); ++i) text += "---|";
    text += "\n";
  }
  return text;
}

std::string HtmlTable(const Table& table) {
  std::string html = "<table>\n";
  for (std::size_t r = 0; r < table.size(); ++r) {
    html += "<tr>";
    for (const std::string& cell : table[r]) {
      const char* const tag = r == 0 ? "th" : "td";
      html += std::string("<") + tag + ">" + Escaped(cell) + "</" + tag + ">";
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

// Wide tables scroll by themselves, the page does not.
std::string Scrolling(const std::string& html) { return "<div>" + html + "</div>\n"; }

std::string Details(const std::string& title, const std::string& html) {
  return "<details><summary>" + Escaped(title) + "</summary>\n" + html + "</details>\n";
}

// "a": b, "c": d
template <typename Items, typename Write>
std::string Joined(const Items& items, Write write) {
  std::string text;
  for (const auto& item : items) {
    if (!text.empty()) text += ", ";
    text += write(item);
  }
  return text;
}

std::string MetricJson(const Metric& m) {
  return "{\"value\": " + JsonNumber(m.value) + ", \"low\": " + JsonNumber(m.low) +
         ", \"high\": " + JsonNumber(m.high) + ", \"of\": " + Count(m.of) + "}";
}

std::string ScoreJson(const Score& s) {
  std::string json = "{\"name\": " + JsonString(s.name);
  json += ", \"horizon_ms\": " + std::to_string(s.horizon_ms);
  json += ", \"hours\": " + JsonNumber(s.hours) + ", \"lines\": " + Count(s.lines);
  json += ",\n  \"counts\": {\"violations\": " + Count(s.violations.size()) +
          ", \"hits\": " + Count(s.hits) + ", \"late\": " + Count(s.late) +
          ", \"alarms\": " + Count(s.alarms) + ", \"false_alarms\": " + Count(s.false_alarms) +
          ", \"near_misses\": " + (s.near_misses_known ? Count(s.near_misses) : "null") +
          ", \"after\": " + Count(s.after) + "}";
  json += ",\n  \"metrics\": {" + Joined(s.metrics, [](const auto& m) {
            return "\n    " + JsonString(m.first) + ": " + MetricJson(m.second);
          });
  json += "},\n  \"runs\": [" + Joined(s.runs, [](const RunScore& r) {
            return "\n    {\"name\": " + JsonString(r.name) +
                   ", \"hours\": " + JsonNumber(r.hours) +
                   ", \"violations\": " + Count(r.violations) + ", \"hits\": " + Count(r.hits) +
                   ", \"late\": " + Count(r.late) + ", \"alarms\": " + Count(r.alarms) +
                   ", \"false_alarms\": " + Count(r.false_alarms) +
                   ", \"near_misses\": " + Count(r.near_misses) + "}";
          });
  json +=
      "],\n  \"groups\": [" + Joined(s.groups, [](const GroupScore& g) {
        return "\n    {\"by\": " + JsonString(g.column) + ", \"value\": " + JsonString(g.value) +
               ", \"violations\": " + Count(g.violations) + ", \"hits\": " + Count(g.hits) +
               ", \"late\": " + Count(g.late) + ", \"culprits_known\": " + Count(g.culprits_known) +
               ", \"culprits_right\": " + Count(g.culprits_right) + "}";
      });
  json += "],\n  \"pr\": [" + Joined(s.pr, [](const PrPoint& p) {
            return "\n    {\"threshold\": " + JsonNumber(p.threshold) +
                   ", \"recall\": " + JsonNumber(p.recall) +
                   ", \"precision\": " + JsonNumber(p.precision) +
                   ", \"false_alarms_per_hour\": " + JsonNumber(p.false_alarms_per_hour) + "}";
          });
  json += "],\n  \"calibration\": [" + Joined(s.bins, [](const CalibrationBin& b) {
            return "\n    {\"lines\": " + Count(b.lines) + ", \"starts\": " + Count(b.starts) +
                   ", \"mean_p\": " +
                   JsonNumber(b.lines == 0 ? NAN : b.sum_p / static_cast<double>(b.lines)) + "}";
          });
  json += "],\n  \"violations\": [" + Joined(s.violations, [](const ScoredViolation& v) {
            return "\n    {\"run\": " + JsonString(v.run) +
                   ", \"start_ms\": " + std::to_string(v.row.start_ms) +
                   ", \"class\": " + JsonString(v.row.request_class) +
                   ", \"culprit\": " + JsonString(v.row.culprit) +
                   ", \"cause\": " + JsonString(v.row.cause) +
                   ", \"hit\": " + (v.hit ? "true" : "false") +
                   ", \"late\": " + (v.late ? "true" : "false") +
                   ", \"lead_ms\": " + (v.hit ? std::to_string(v.lead_ms) : "null") +
                   ", \"named\": " + (v.hit ? JsonString(v.named) : "null") + "}";
          });
  return json + "]}";
}

}  // namespace

std::string MetricText(const Metric& metric) {
  if (std::isnan(metric.value)) return "-";
  std::string text = Number(metric.value);
  if (!std::isnan(metric.low)) text += " [" + Number(metric.low) + ", " + Number(metric.high) + "]";
  return text;
}

std::string Number(double value) {
  if (std::isnan(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string JsonString(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      json += code;
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string JsonNumber(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::string ToJson(const Report& report) {
  std::string json = "{\"title\": " + JsonString(report.title);
  json += ",\n\"notes\": [" + Joined(report.notes, [](const auto& n) { return JsonString(n); });
  json += "],\n\"sections\": [" + Joined(report.sections, [](const Section& section) {
            return "\n {\"title\": " + JsonString(section.title) + ", \"table\": [" +
                   Joined(section.table,
                          [](const std::vector<std::string>& row) {
                            return "\n  [" +
                                   Joined(row, [](const auto& c) { return JsonString(c); }) + "]";
                          }) +
                   "]}";
          });
  json += "],\n\"predictors\": [\n " + Joined(report.scores, ScoreJson);
  json +=
      "],\n\"comparisons\": [" + Joined(report.comparisons, [](const Comparison& c) {
        return "\n {\"first\": " + JsonString(c.first) + ", \"second\": " + JsonString(c.second) +
               ", \"both\": " + Count(c.both) + ", \"only_first\": " + Count(c.only_first) +
               ", \"only_second\": " + Count(c.only_second) + ", \"neither\": " + Count(c.neither) +
               ", \"recall_p\": " + JsonNumber(c.recall_p) +
               ", \"culprit_p\": " + JsonNumber(c.culprit_p) +
               ", \"recall_difference\": " + MetricJson(c.recall_difference) +
               ", \"false_alarms_per_hour_difference\": " +
               MetricJson(c.false_alarms_per_hour_difference) +
               ", \"false_alarms_p\": " + JsonNumber(c.false_alarms_p) + "}";
      });
  return json + "]}\n";
}

std::string ToText(const Report& report) {
  std::string text = report.title + "\n\n";
  for (const Section& section : report.sections) {
    text += section.title + "\n" + TextTable(section.table) + "\n";
  }
  text += TextTable(MetricTable(report));
  if (!report.comparisons.empty()) text += "\n" + TextTable(ComparisonTable(report));
  for (const Score& score : report.scores) {
    if (score.groups.empty()) continue;
    text += "\n" + score.name + "\n" + TextTable(GroupTable(score));
  }
  for (const std::string& note : report.notes) text += "\n" + note + "\n";
  return text;
}

std::string ToMarkdown(const Report& report) {
  std::string text = "# " + report.title + "\n\n";
  for (const std::string& note : report.notes) text += note + "\n\n";
  for (const Section& section : report.sections) {
    text += "## " + section.title + "\n\n";
    if (!section.text.empty()) text += section.text + "\n\n";
    text += MarkdownTable(section.table) + "\n";
  }
  if (!report.sections.empty()) text += "## Every figure\n\n";
  text += MarkdownTable(MetricTable(report));
  text += "\nIn brackets: 95 % intervals.\n";
  if (!report.comparisons.empty()) {
    text += "\n## Paired\n\n" + MarkdownTable(ComparisonTable(report));
  }
  for (const Score& score : report.scores) {
    if (score.groups.empty()) continue;
    text += "\n## " + score.name + "\n\n" + MarkdownTable(GroupTable(score));
  }
  return text;
}

std::string ToHtml(const Report& report) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>" +
      Escaped(report.title) +
      "</title>\n<style>body{font-family:sans-serif;margin:2em;max-width:90em}"
      "div{overflow-x:auto}table{border-collapse:collapse;margin:1em 0}"
      "th,td{border:1px solid #ccc;padding:.2em .6em;text-align:left;font-size:85%}"
      "th{background:#f4f4f4;vertical-align:bottom}td{white-space:nowrap}"
      "td:first-child{font-weight:bold}summary{cursor:pointer;font-weight:bold;padding:.3em 0}"
      "svg{margin:.3em 1em .3em 0}</style></head><body>\n<h1>" +
      Escaped(report.title) + "</h1>\n";
  for (const std::string& note : report.notes) html += "<p>" + Escaped(note) + "</p>\n";
  for (const Section& section : report.sections) {
    html += "<h2>" + Escaped(section.title) + "</h2>\n";
    if (!section.text.empty()) html += "<p>" + Escaped(section.text) + "</p>\n";
    html += Scrolling(HtmlTable(section.table));
    for (const std::string& plot : section.plots) html += plot;
  }
  const std::string metrics = Scrolling(HtmlTable(MetricTable(report)));
  if (report.sections.empty()) {
    html += metrics + "<p>In brackets: 95 % intervals.</p>\n" + PrSvg(report.scores);
  } else {
    html += "<h2>Every figure</h2>\n" + Details("In brackets: 95 % intervals", metrics);
  }
  if (!report.comparisons.empty()) {
    html += "<h2>Paired</h2>\n" + Scrolling(HtmlTable(ComparisonTable(report)));
  }
  for (const Score& score : report.scores) {
    const std::string own =
        ReliabilitySvg(score) + LeadSvg(score) + Scrolling(HtmlTable(GroupTable(score)));
    html += report.sections.empty() ? "<h2>" + Escaped(score.name) + "</h2>\n" + own
                                    : Details(score.name, own);
  }
  return html + "</body></html>\n";
}

}  // namespace seer::evaluation
