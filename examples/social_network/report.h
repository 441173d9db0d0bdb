// What a run came to: as lines, as figures for other programs, and as one page of HTML that needs
// nothing else.
#pragma once

#include <string>
#include <vector>

#include "judge.h"
#include "options.h"

namespace social {

std::string Summary(const Record& record);
std::string FiguresJson(const std::vector<Record>& records);
// `missing`: what this machine or user lacks.
std::string ReportHtml(const std::vector<Record>& records, const std::vector<std::string>& missing,
                       const Options& options);

// The charts (report_charts.cc), each an <svg>.
// `most`: the largest value that the axis has to show, so that parts can be compared.
std::string LatencyChart(const Record& record, std::size_t kind, double target_ms, double most);
double MostLatency(const Record& record, std::size_t kind);  // ms, of a second's p99
std::string QueueChart(const Record& record, double most);
double MostStanding(const Record& record);  // at a service itself
std::string LeadChart(const std::vector<Record>& records);
std::string CallGraph(const std::vector<Record>& records);
// A request, as spans.h tells it; empty: it is none.
std::string TraceChart(const std::string& trace);
std::string Escaped(const std::string& text);
// "home-timeline" of "home-timeline-service", also within a text.
std::string ShortNames(std::string text);

}  // namespace social
