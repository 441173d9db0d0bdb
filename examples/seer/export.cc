#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "examples/seer/args.h"
#include "seer/dataset/reader.h"

namespace seer_tool {
namespace {

void PutNumber(std::ostream& out, const std::optional<double>& number) {
  char digits[40] = "";
  if (number) std::snprintf(digits, sizeof(digits), "%.9g", *number);
  out << ',' << digits;
}

// One column of depths.csv or of means.csv.
struct Column {
  enum class Kind { kChannel, kOutstanding, kEdge } kind;
  std::uint32_t row;  // service, or edge
  seer::Channel channel;

  std::optional<double> Of(const seer::ClusterTick& tick, bool mean) const {
    const seer::ServiceId service(row);
    switch (kind) {
      case Kind::kChannel:
        return mean ? tick.services.mean(service, channel) : tick.services.depth(service, channel);
      case Kind::kOutstanding:
        return mean ? tick.services.outstanding_mean(service) : tick.services.outstanding(service);
      case Kind::kEdge:
        break;
    }
    return mean ? tick.edges.mean(seer::EdgeId(row)) : tick.edges.depth(seer::EdgeId(row));
  }
  absl::Span<const std::uint8_t> KnownIn(const seer::TickBlock& block) const {
    switch (kind) {
      case Kind::kChannel:
        return block.known(seer::ServiceId(row), channel);
      case Kind::kOutstanding:
        return block.outstanding_known(seer::ServiceId(row));
      case Kind::kEdge:
        break;
    }
    return block.known(seer::EdgeId(row));
  }
  std::string Name(const seer::Topology& topology) const {
    if (kind == Kind::kEdge) {
      const seer::Edge& edge = topology.edges()[row];
      return (edge.caller.valid() ? topology.service(edge.caller).name : std::string()) + ">" +
             topology.service(edge.callee).name + "#outbound";
    }
    const std::string_view what =
        kind == Kind::kOutstanding ? "outstanding" : seer::ChannelName(channel);
    return topology.services()[row].name + "#" + std::string(what);
  }
};

struct SeriesFile {
  const char* name;
  bool means;
  std::vector<Column> columns;  // that anybody knows
  std::ofstream out;
};

// Which columns anybody knows: the blocks tell without a tick.
void ChooseColumns(const seer::DatasetReader& reader, std::uint32_t run,
                   const seer::Topology& topology, SeriesFile* depths, SeriesFile* means) {
  static_assert(static_cast<int>(seer::ServiceTable::kDepth) == seer::EdgeTickTable::kDepth &&
                static_cast<int>(seer::ServiceTable::kMean) == seer::EdgeTickTable::kMean);
  std::vector<Column> columns;
  for (std::uint32_t s = 0; s < topology.services().size(); ++s) {
    for (const seer::Channel channel : seer::kAllChannels) {
      columns.push_back({Column::Kind::kChannel, s, channel});
    }
    columns.push_back({Column::Kind::kOutstanding, s, seer::Channel::kQueued});
  }
  for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
    columns.push_back({Column::Kind::kEdge, e, seer::Channel::kQueued});
  }
  std::vector<unsigned> known(columns.size(), 0);
  seer::TickBlock block;
  for (std::size_t b = 0; b < reader.blocks().size(); ++b) {
    if (reader.blocks()[b].run != run || !reader.ReadBlock(b, &block).ok()) continue;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      for (const std::uint8_t bits : columns[c].KnownIn(block)) known[c] |= bits;
    }
  }
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (known[c] & seer::ServiceTable::kDepth) depths->columns.push_back(columns[c]);
    if (known[c] & seer::ServiceTable::kMean) means->columns.push_back(columns[c]);
  }
}

// What people gave; where they gave none, what `seer label` found.
void WriteViolations(const std::vector<seer::DatasetEvent>& events, std::ostream& out) {
  out << "start_ms,end_ms,culprit,cause\n";
  const auto is_label = [](const seer::DatasetEvent& event) {
    return event.source.compare(0, seer::kLabelSource.size(), seer::kLabelSource) == 0;
  };
  bool given = false;
  for (const seer::DatasetEvent& event : events) {
    given |= event.kind == seer::DatasetEventKind::kViolation && !is_label(event);
  }
  for (const seer::DatasetEvent& event : events) {
    if (event.kind != seer::DatasetEventKind::kViolation || (given && is_label(event))) continue;
    out << event.start_ns / 1'000'000 << ',' << event.end_ns / 1'000'000 << ','
        << CsvField(event.initiation == seer::Initiation::kLoad ? "load" : event.culprit) << ','
        << CsvField(event.cause) << '\n';
  }
}

}  // namespace

int RunExport(const ExportArgs& args) {
  const auto reader = seer::DatasetReader::Open(args.dataset);
  if (!reader.ok()) return Fail(reader.status());
  if (args.run >= reader->manifest().runs.size()) return Fail(NoSuchRun(args.run));
  const auto topology = reader->LatestTopology(args.run);
  if (!topology.ok()) return Fail(topology.status());
  const auto events = reader->Events(args.run);
  if (!events.ok()) return Fail(events.status());
  if (mkdir(args.output.c_str(), 0755) != 0) {
    return Fail(absl::UnavailableError(
        args.output + " cannot be made: " + std::generic_category().message(errno)));
  }
  const seer::Topology& rows = *topology;

  SeriesFile series[] = {{"/depths.csv", false, {}, {}}, {"/means.csv", true, {}, {}}};
  ChooseColumns(*reader, args.run, rows, &series[0], &series[1]);
  for (SeriesFile& file : series) {
    if (file.means && file.columns.empty()) continue;
    file.out.open(args.output + file.name);
    file.out << "time_ms";
    for (const Column& column : file.columns) file.out << ',' << CsvField(column.Name(rows));
    file.out << '\n';
  }
  std::ofstream edges(args.output + "/topology.csv");
  std::ofstream latency(args.output + "/latency.csv");
  std::ofstream violations(args.output + "/violations.csv");
  edges << "caller,callee\n";
  for (const seer::Edge& edge : rows.edges()) {
    if (edge.removed) continue;
    edges << CsvField(edge.caller.valid() ? rows.service(edge.caller).name : "") << ','
          << CsvField(rows.service(edge.callee).name) << '\n';
  }
  latency << "time_ms,count,p50_ms,p99_ms,over_target,class\n";
  WriteViolations(*events, violations);

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
    for (SeriesFile& file : series) {
      if (!file.out.is_open()) continue;
      file.out << time_ms;
      for (const Column& column : file.columns) PutNumber(file.out, column.Of(tick, file.means));
      file.out << '\n';
    }
    for (std::size_t c = 0; c < tick.classes.size(); ++c) {
      const seer::ClassTick& row = tick.classes[c];
      if (!row.seen) continue;
      const bool histogram = !row.latency.empty();
      const std::int64_t p50 = histogram ? row.latency.Quantile(0.5) : row.p50_ns;
      const std::int64_t p99 = histogram ? row.latency.Quantile(0.99) : row.p99_ns;
      latency << time_ms << ',' << row.count;
      PutNumber(latency, static_cast<double>(p50) / 1e6);
      PutNumber(latency, static_cast<double>(p99) / 1e6);
      latency << ',' << row.over_target << ',' << CsvField(rows.classes()[c].name) << '\n';
    }
  }
  bool written = edges.flush() && latency.flush() && violations.flush();
  for (SeriesFile& file : series) written = written && (!file.out.is_open() || file.out.flush());
  if (!written) {
    std::error_code ignored;
    std::filesystem::remove_all(args.output, ignored);  // it was made above
    return Fail(
        absl::UnavailableError(args.output + ": a table cannot be written: is there room?"));
  }
  if (args.json) {
    JsonWriter json;
    json.Open('{').Key("ticks").Integer(ticks).Key("folder").Text(args.output);
    json.Key("damaged").Bool(damaged).Close('}').Print();
  } else {
    std::printf("%lld ticks in %s\n", static_cast<long long>(ticks), args.output.c_str());
  }
  return damaged ? kDamaged : kOk;
}

}  // namespace seer_tool
