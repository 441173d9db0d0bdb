#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <system_error>

#include "examples/seer/args.h"
#include "seer/dataset/reader.h"

namespace seer_tool {
namespace {

std::string Field(std::string_view text) {
  if (text.find_first_of(",\"\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

void PutNumber(std::ofstream& out, const std::optional<double>& number) {
  char digits[40] = "";
  if (number) std::snprintf(digits, sizeof(digits), "%.9g", *number);
  out << ',' << digits;
}

}  // namespace

int RunExport(const ExportArgs& args) {
  const auto reader = seer::DatasetReader::Open(args.dataset);
  if (!reader.ok()) return Fail(reader.status());
  const auto topology = reader->LatestTopology(args.run);
  if (!topology.ok()) return Fail(topology.status());
  const auto events = reader->Events(args.run);
  if (!events.ok()) return Fail(events.status());
  if (mkdir(args.output.c_str(), 0755) != 0) {
    return Fail(absl::UnavailableError(
        args.output + " cannot be made: " + std::generic_category().message(errno)));
  }
  const seer::Topology& rows = *topology;
  const auto name = [&](seer::ServiceId id) {
    return id.valid() ? rows.service(id).name : std::string();
  };

  // Which columns anybody knows: the blocks tell without a tick.
  std::vector<std::pair<std::uint32_t, seer::Channel>> columns;
  for (std::uint32_t s = 0; s < rows.services().size(); ++s) {
    for (const seer::Channel channel : seer::kAllChannels) columns.emplace_back(s, channel);
  }
  std::vector<bool> used(columns.size(), false);
  seer::TickBlock block;
  for (std::size_t b = 0; b < reader->blocks().size(); ++b) {
    if (reader->blocks()[b].run != args.run || !reader->ReadBlock(b, &block).ok()) continue;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      for (const std::uint8_t known :
           block.known(seer::ServiceId(columns[c].first), columns[c].second)) {
        if (known != 0) used[c] = true;
      }
    }
  }

  std::ofstream edges(args.output + "/topology.csv");
  std::ofstream depths(args.output + "/depths.csv");
  std::ofstream latency(args.output + "/latency.csv");
  std::ofstream violations(args.output + "/violations.csv");
  edges << "caller,callee\n";
  depths << "time_ms";
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (!used[c]) continue;
    depths << ','
           << Field(rows.services()[columns[c].first].name + "#" +
                    std::string(seer::ChannelName(columns[c].second)));
  }
  for (const seer::Edge& edge : rows.edges()) {
    edges << Field(name(edge.caller)) << ',' << Field(name(edge.callee)) << '\n';
    depths << ',' << Field(name(edge.caller) + ">" + name(edge.callee) + "#outbound");
  }
  depths << '\n';
  latency << "time_ms,count,p50_ms,p99_ms,over_target,class\n";
  violations << "start_ms,end_ms,culprit,cause\n";

  std::int64_t ticks = 0;
  bool damaged = false;
  seer::ClusterTick tick;
  for (seer::TickCursor cursor = reader->Ticks(args.run);;) {
    const auto more = cursor.Next(&tick);
    if (!more.ok()) {
      Fail(more.status());
      damaged = true;
      continue;
    }
    if (!*more) break;
    ++ticks;
    const std::int64_t time_ms = tick.period.EndNs(tick.tick) / 1'000'000;
    depths << time_ms;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (!used[c]) continue;
      const seer::ServiceId id(columns[c].first);
      auto depth = tick.services.depth(id, columns[c].second);
      if (!depth) depth = tick.services.mean(id, columns[c].second);
      PutNumber(depths, depth);
    }
    for (std::uint32_t e = 0; e < rows.edges().size(); ++e) {
      auto depth = tick.edges.depth(seer::EdgeId(e));
      if (!depth) depth = tick.edges.mean(seer::EdgeId(e));
      PutNumber(depths, depth);
    }
    depths << '\n';
    for (std::size_t c = 0; c < tick.classes.size(); ++c) {
      const seer::ClassTick& row = tick.classes[c];
      if (!row.seen) continue;
      const bool histogram = !row.latency.empty();
      const std::int64_t p50 = histogram ? row.latency.Quantile(0.5) : row.p50_ns;
      const std::int64_t p99 = histogram ? row.latency.Quantile(0.99) : row.p99_ns;
      latency << time_ms << ',' << row.count;
      PutNumber(latency, static_cast<double>(p50) / 1e6);
      PutNumber(latency, static_cast<double>(p99) / 1e6);
      latency << ',' << row.over_target << ',' << Field(rows.classes()[c].name) << '\n';
    }
  }
  for (const seer::DatasetEvent& event : *events) {
    if (event.kind != seer::DatasetEventKind::kViolation) continue;
    violations << event.start_ns / 1'000'000 << ',' << event.end_ns / 1'000'000 << ','
               << Field(event.initiation == seer::Initiation::kLoad ? "load" : event.culprit) << ','
               << Field(event.cause) << '\n';
  }
  if (!edges.flush() || !depths.flush() || !latency.flush() || !violations.flush()) {
    return Fail(
        absl::UnavailableError(args.output + ": a table cannot be written: is there room?"));
  }
  if (args.json) {
    JsonWriter json;
    json.Open('{').Key("ticks").Integer(ticks).Key("folder").Text(args.output).Close('}').Print();
  } else {
    std::printf("%lld ticks in %s\n", static_cast<long long>(ticks), args.output.c_str());
  }
  return damaged ? kDamaged : kOk;
}

}  // namespace seer_tool
