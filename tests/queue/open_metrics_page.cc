// Prints a page of metrics, for the checks of other programs: open_metrics_page prometheus|open
#include <cstdio>
#include <cstring>
#include <string>

#include "seer/queue/open_metrics.h"
#include "tests/queue/metrics_sample.h"

int main(int argc, char** argv) {
  const bool open = argc > 1 && std::strcmp(argv[1], "open") == 0;
  const seer::testing::MetricsSample s = seer::testing::SampleMetrics();
  std::string page;
  seer::AppendMetrics(s.topology, s.snapshot, s.totals,
                      open ? seer::MetricsFormat::kOpenMetrics : seer::MetricsFormat::kPrometheus,
                      &page);
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
