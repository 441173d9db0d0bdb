#include "seer/queue/open_metrics.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Bytes of the well-formed UTF-8 character at the beginning (Unicode 15, table 3-7); 0: there is
// none.
std::size_t Utf8Length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto follows = [&](std::size_t i, unsigned char low, unsigned char high) {
    return i < s.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned char low = first == 0xe0 ? 0xa0 : 0x80;   // no longer than needed
    const unsigned char high = first == 0xed ? 0x9f : 0xbf;  // no surrogates
    return follows(1, low, high) && follows(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned char low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xf4 ? 0x8f : 0xbf;  // up to U+10FFFF
    return follows(1, low, high) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

void AppendEscaped(std::string_view value, std::string* text) {
  while (!value.empty()) {
    const std::size_t length = Utf8Length(value);
    const std::string_view character = value.substr(0, length);
    if (length == 0) {
      constexpr char kDigits[] = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(value[0]);
      text->append(kReplacement);
      text->push_back(kDigits[byte >> 4]);
      text->push_back(kDigits[byte & 15]);
      value.remove_prefix(1);
      continue;
    }
    if (character == "\\") {
      text->append("\\\\");
    } else if (character == "\"") {
      text->append("\\\"");
    } else if (character == "\n") {
      text->append("\\n");
    } else {
      text->append(character);
      if (character == kReplacement) text->push_back('u');
    }
    value.remove_prefix(length);
  }
}

template <typename Number>
void AppendNumber(Number value, std::string* text) {
  char digits[32];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, value);
  text->append(digits, end.ptr);
}

class Page {
 public:
  Page(const Topology& topology, MetricsFormat format, std::string* text)
      : topology_(topology), open_(format == MetricsFormat::kOpenMetrics), text_(text) {}

  // The samples that follow are of this family.
  void Gauge(std::string_view name, std::string_view help) { Family(name, "gauge", "", help); }
  // In OpenMetrics a family lacks the `_total` that its samples have.
  void Counter(std::string_view name, std::string_view help) {
    Family(name, "counter", "_total", help);
  }

  template <typename Number>
  void Sample(Number value) {
    Begin();
    End(value);
  }
  template <typename Number>
  void Sample(InstanceId id, Channel channel, Number value) {
    if (!topology_.Has(id)) return;  // values of another numbering
    const Instance& instance = topology_.instance(id);
    Begin();
    Label("{service=\"", topology_.service(instance.service).name);
    Label("\",instance=\"", instance.name);
    text_->append("\",queue=\"").append(ChannelName(channel)).append("\"}");
    End(value);
  }
  template <typename Number>
  void Sample(EdgeId id, Number value) {
    if (!topology_.Has(id)) return;
    const Edge& edge = topology_.edge(id);
    Begin();
    // Calls from outside have an empty caller.
    Label("{caller=\"", edge.caller.valid() ? topology_.service(edge.caller).name : "");
    Label("\",callee=\"", topology_.service(edge.callee).name);
    text_->append("\"}");
    End(value);
  }
  void Finish() {
    if (open_) text_->append("# EOF\n");
  }

 private:
  void Family(std::string_view name, std::string_view type, std::string_view suffix,
              std::string_view help) {
    name_ = name;
    suffix_ = suffix;
    for (const std::string_view what : {"# HELP ", "# TYPE "}) {
      text_->append(what).append(name);
      if (!open_) text_->append(suffix);
      text_->append(" ").append(what == "# HELP " ? help : type).append("\n");
    }
  }
  void Begin() { text_->append(name_).append(suffix_); }
  void Label(std::string_view before, std::string_view value) {
    text_->append(before);
    AppendEscaped(value, text_);
  }
  template <typename Number>
  void End(Number value) {
    text_->push_back(' ');
    AppendNumber(value, text_);
    text_->push_back('\n');
  }

  const Topology& topology_;
  const bool open_;
  std::string* const text_;
  std::string_view name_;
  std::string_view suffix_;
};

// f(instance, channel, sample) for every cell that was seen.
template <typename F>
void ForEachCell(const ChannelTable& table, const F& f) {
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    if (table.coverage(InstanceId(i)).empty()) continue;
    for (const Channel channel : kAllChannels) {
      const auto sample = table.Get(InstanceId(i), channel);
      if (sample) f(InstanceId(i), channel, *sample);
    }
  }
}

void AppendChannels(const ChannelTable& table, Page& page) {
  page.Gauge("seer_queue_depth", "What waits in a queue at the end of the tick, at least.");
  ForEachCell(table, [&](InstanceId id, Channel channel, const ChannelSample& sample) {
    page.Sample(id, channel, sample.depth);
  });
  page.Gauge("seer_queue_depth_width", "How much deeper it may have been, where not exact.");
  ForEachCell(table, [&](InstanceId id, Channel channel, const ChannelSample& sample) {
    if (sample.width > 0) page.Sample(id, channel, sample.width);
  });
  page.Gauge("seer_queue_peak_depth", "The deepest that was seen during the tick.");
  ForEachCell(table, [&](InstanceId id, Channel channel, const ChannelSample& sample) {
    page.Sample(id, channel, std::max(sample.depth, sample.peak));
  });
  page.Gauge("seer_queue_mean_depth", "Mean over all moments of the tick, of timed queues.");
  ForEachCell(table, [&](InstanceId id, Channel channel, const ChannelSample& sample) {
    if (sample.timed) page.Sample(id, channel, sample.mean_depth_milli / 1e3);
  });
  page.Gauge("seer_queue_mean_wait_seconds",
             "Mean wait of the requests that left during the tick, of timed queues.");
  ForEachCell(table, [&](InstanceId id, Channel channel, const ChannelSample& sample) {
    if (sample.timed && sample.departures > 0) page.Sample(id, channel, sample.mean_wait_us / 1e6);
  });
  page.Gauge("seer_queue_bytes", "Bytes that nobody read, or that were not sent yet.");
  ForEachCell(table, [&](InstanceId id, Channel channel, const ChannelSample&) {
    if (channel == Channel::kSocket || channel == Channel::kSend) {
      page.Sample(id, channel, table.bytes(id, channel));
    }
  });
}

void AppendHealth(const NodeHealth& now, const CollectorTotals& totals, Page& page) {
  page.Gauge("seer_collector_processes", "Processes whose counters are read.");
  page.Sample(now.processes);
  page.Gauge("seer_collector_segments_skipped", "Segments that cannot be read.");
  page.Sample(now.segments_skipped);
  page.Gauge("seer_collector_late_seconds",
             "How long after the tick's end its counters were read.");
  page.Sample(static_cast<double>(now.late_ns) / 1e9);
  page.Counter("seer_collector_snapshots", "Snapshots that were made.");
  page.Sample(totals.snapshots);
  page.Counter("seer_collector_missed_ticks", "Ticks without a snapshot.");
  page.Sample(totals.health.missed_ticks);
  page.Counter("seer_collector_dead_processes", "Processes that were found dead.");
  page.Sample(totals.health.dead_processes);
  page.Counter("seer_collector_inexact_reads", "Depths that changed while they were read.");
  page.Sample(totals.health.inexact_reads);
  page.Counter("seer_collector_unmatched_leaves", "Leaves without an enter.");
  page.Sample(totals.health.counter_errors);
  page.Counter("seer_collector_probe_errors", "Probes that failed.");
  page.Sample(totals.health.probe_errors);
}

}  // namespace

std::string_view ContentType(MetricsFormat format) {
  return format == MetricsFormat::kOpenMetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

MetricsFormat PreferredFormat(std::string_view accept) {
  // Whoever can read OpenMetrics names it, and prefers it.
  return accept.find("application/openmetrics-text") == std::string_view::npos
             ? MetricsFormat::kPrometheus
             : MetricsFormat::kOpenMetrics;
}

void AppendMetrics(const Topology& topology, const Snapshot& snapshot,
                   const CollectorTotals& totals, MetricsFormat format, std::string* text) {
  Page page(topology, format, text);
  AppendChannels(snapshot.instances, page);
  page.Counter("seer_queue_enqueued", "What came into a queue.");
  for (const ChannelTotal& total : totals.channels) {
    page.Sample(total.instance, total.channel, total.enqueued);
  }
  page.Counter("seer_queue_dequeued", "What left a queue.");
  for (const ChannelTotal& total : totals.channels) {
    page.Sample(total.instance, total.channel, total.dequeued);
  }
  page.Gauge("seer_edge_outstanding", "Calls that the callee has not answered.");
  for (std::uint32_t i = 0; i < snapshot.edges.size(); ++i) {
    const auto edge = snapshot.edges.Get(EdgeId(i));
    if (edge) page.Sample(EdgeId(i), edge->outstanding);
  }
  page.Counter("seer_edge_calls", "Calls that were begun.");
  for (const EdgeTotal& total : totals.edges) page.Sample(total.edge, total.made);
  AppendHealth(snapshot.health, totals, page);
  page.Finish();
}

SEER_END_NAMESPACE
