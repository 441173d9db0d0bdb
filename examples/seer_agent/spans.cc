#include "spans.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace {

using std::chrono::milliseconds;

// A positive number at the front, of which `text` is rid.
std::optional<double> TakeNumber(std::string_view* text) {
  const std::string copy(*text);
  char* end = nullptr;
  errno = 0;
  const double value = std::strtod(copy.c_str(), &end);
  if (copy.empty() || copy[0] < '0' || copy[0] > '9' || errno != 0 || !(value < 1e12)) {
    return std::nullopt;
  }
  text->remove_prefix(static_cast<std::size_t>(end - copy.c_str()));
  return value;
}
bool TakeText(std::string_view what, std::string_view* text) {
  if (text->substr(0, what.size()) != what) return false;
  text->remove_prefix(what.size());
  return true;
}
// "20ms", "1.5s".
std::optional<std::chrono::microseconds> TakeTime(std::string_view* text) {
  const auto number = TakeNumber(text);
  if (!number) return std::nullopt;
  const double us = TakeText("ms", text) ? 1e3 : TakeText("s", text) ? 1e6 : 0;
  if (us == 0 || *number * us > 1e15) return std::nullopt;
  return std::chrono::microseconds(static_cast<std::int64_t>(*number * us));
}

std::optional<seer::QosTarget> ParseTarget(std::string_view text) {
  const bool percentile = TakeText("p", &text);
  const auto number = TakeNumber(&text);
  if (!number) return std::nullopt;
  const bool share = !percentile && TakeText("%", &text);
  if (!TakeText(percentile ? "<=" : ">", &text)) return std::nullopt;
  const auto latency = TakeTime(&text);
  if (!latency || !TakeText("/", &text)) return std::nullopt;
  const auto window = TakeTime(&text);
  if (!window || !text.empty()) return std::nullopt;
  const auto over = std::chrono::duration_cast<milliseconds>(*window);
  const seer::QosTarget target =
      percentile ? seer::QosTarget::Percentile(*number / 100, *latency, over)
      : share    ? seer::QosTarget::AtMost(*number / 100, *latency, over)
                 : seer::QosTarget::FewerThan(static_cast<std::uint32_t>(*number), *latency, over);
  return target.Validate().ok() ? std::optional<seer::QosTarget>(target) : std::nullopt;
}

// Hands each batch on with the numbering that it was made in.
class Outlet final : public seer::TraceSink {
 public:
  explicit Outlet(WriteSpans write) : write_(std::move(write)) {}
  void set_probe(const seer::SpanProbe* probe) { probe_ = probe; }

  absl::Status Write(const seer::SpanBatch& batch) override {
    return write_(batch, probe_->topology());
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }

 private:
  const WriteSpans write_;
  const seer::SpanProbe* probe_ = nullptr;
};

}  // namespace

std::optional<seer::SpanClass> ParseClass(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::size_t colon = text.rfind(':');
  if (equals == text.npos || colon == text.npos || colon < equals) return std::nullopt;
  const auto target = ParseTarget(text.substr(colon + 1));
  if (!target) return std::nullopt;
  seer::SpanClass parsed;
  parsed.target = *target;
  std::string_view name = text.substr(0, equals);
  if (const std::size_t slash = name.find('/'); slash != name.npos) {
    parsed.application = name.substr(0, slash);
    name.remove_prefix(slash + 1);
  }
  parsed.name = name;
  std::string_view service = text.substr(equals + 1, colon - equals - 1);
  if (const std::size_t slash = service.find('/'); slash != service.npos) {
    parsed.methods.emplace_back(service.substr(slash + 1));
    service = service.substr(0, slash);
  }
  parsed.service = service;
  return parsed.name.empty() || parsed.service.empty() ? std::nullopt
                                                       : std::optional<seer::SpanClass>(parsed);
}

absl::Status WatchSpans(const seer::SpanProbeOptions& options, WriteSpans write,
                        seer::Collector* collector) {
  if (write == nullptr) return seer::SpanProbe::Install(options, collector);
  const auto outlet = std::make_shared<Outlet>(std::move(write));
  seer::SpanProbeOptions with_sink = options;
  with_sink.sink = outlet;
  auto probe = seer::SpanProbe::Create(with_sink);
  if (!probe.ok()) return probe.status();
  outlet->set_probe(probe->get());
  for (const seer::SpanClass& c : options.classes) {
    const absl::Status status =
        collector->DeclareClass({c.application, c.name, c.target, c.service});
    if (!status.ok()) return status;
  }
  collector->AddProbe(*std::move(probe));
  return absl::OkStatus();
}
