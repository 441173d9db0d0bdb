#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "dataset/importers.h"
#include "seer/core/internal/status_macros.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::int64_t kMaxMs = 9'000'000'000'000;  // 285 years: nanoseconds fit 64 bits

// One of the folder's tables, row by row.
class Table {
 public:
  static absl::StatusOr<std::unique_ptr<Table>> Open(const std::string& path) {
    SEER_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
    auto table = std::make_unique<Table>(std::move(file));
    SEER_ASSIGN_OR_RETURN(const bool more, table->NextLine());
    if (!more) return LineError(path, 1, {}, "is empty: write the header");
    for (const std::string_view name : table->fields_) table->columns_.emplace_back(name);
    return table;
  }
  explicit Table(InputFile file) : file_(std::move(file)), lines_(&file_) {}

  // False at the end. Every row has as many fields as the header.
  absl::StatusOr<bool> Next() {
    for (;;) {
      SEER_ASSIGN_OR_RETURN(const bool more, NextLine());
      if (!more) return false;
      if (fields_.size() == 1 && fields_[0].empty()) continue;
      if (fields_.size() != columns_.size()) {
        return LineError(path(), lines_.line(), {},
                         "has " + std::to_string(fields_.size()) + " columns, the header " +
                             std::to_string(columns_.size()) + ": correct the row");
      }
      return true;
    }
  }

  absl::Status Wrong(std::size_t column, std::string_view what) const {
    return LineError(path(), lines_.line(), columns_[column], what);
  }

  absl::StatusOr<std::int64_t> Integer(std::size_t column, std::int64_t max) const {
    const std::string_view text = fields_[column];
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > max) {
      return Wrong(column, Quoted(text) + " is no whole number from 0 to " + std::to_string(max) +
                               ": correct it");
    }
    return value;
  }

  // Nothing where the field is empty.
  absl::StatusOr<std::optional<double>> Real(std::size_t column) const {
    const std::string_view text = fields_[column];
    if (text.empty()) return std::optional<double>();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
        value < 0 || value > std::numeric_limits<float>::max()) {
      return Wrong(column, Quoted(text) +
                               " is no finite number of 0 or more: correct it, or leave it empty "
                               "where nothing was measured");
    }
    return std::optional<double>(value);
  }

  std::string_view Text(std::size_t column) const { return fields_[column]; }
  const std::vector<std::string>& columns() const { return columns_; }
  const std::string& path() const { return file_.path(); }
  std::uint64_t bytes_done() const { return file_.bytes_done(); }
  absl::Status HeaderError(std::string_view what) const { return LineError(path(), 1, {}, what); }

 private:
  absl::StatusOr<bool> NextLine() {
    std::string_view line;
    SEER_ASSIGN_OR_RETURN(const bool more, lines_.Next(&line));
    if (!more) return false;
    if (!SplitCsv(line, &fields_, &scratch_)) {
      return LineError(path(), lines_.line(), {}, "has a quote that is not closed: close it");
    }
    return true;
  }

  InputFile file_;
  LineReader lines_;
  std::vector<std::string> columns_;
  std::vector<std::string_view> fields_;
  std::string scratch_;
};

// The table, or none where neither NAME nor NAME.gz is there.
absl::StatusOr<std::unique_ptr<Table>> OpenOptional(const std::string& folder, const char* name) {
  for (const char* const ending : {"", ".gz"}) {
    absl::StatusOr<std::unique_ptr<Table>> table = Table::Open(folder + "/" + name + ending);
    if (!absl::IsNotFound(table.status())) return table;
  }
  return std::unique_ptr<Table>();
}

class CsvFolder {
 public:
  CsvFolder(std::string folder, const ImportOptions& options, DatasetWriter* writer,
            ImportReport* report)
      : folder_(std::move(folder)),
        options_(options),
        period_(options.run.period),
        writer_(writer),
        report_(report) {}

  absl::Status Run() {
    SEER_ASSIGN_OR_RETURN(depths_.table, OpenOptional(folder_, "depths.csv"));
    if (depths_.table == nullptr) {
      return absl::NotFoundError(folder_ + "/depths.csv is not there: the folder needs one");
    }
    SEER_ASSIGN_OR_RETURN(means_.table, OpenOptional(folder_, "means.csv"));
    means_.are_means = true;
    SEER_RETURN_IF_ERROR(ReadTopology());
    for (SeriesTable* const series : {&depths_, &means_}) {
      if (series->table != nullptr) SEER_RETURN_IF_ERROR(ReadSeriesHeader(series));
    }
    if (depths_.columns.empty() && means_.columns.empty()) {
      return depths_.table->HeaderError(
          "the header has no depth: time_ms,<service>#<channel>,... or write means.csv");
    }
    SEER_RETURN_IF_ERROR(PlaceOutstanding());
    SEER_ASSIGN_OR_RETURN(latency_, OpenOptional(folder_, "latency.csv"));
    if (latency_ != nullptr) SEER_RETURN_IF_ERROR(ReadLatencyHeader());
    std::uint64_t total = 0;
    for (const Table* const table : Tables()) {
      SEER_ASSIGN_OR_RETURN(const std::uint64_t bytes, FileBytes(table->path()));
      total += bytes;
    }
    meter_.emplace(options_, total);
    SEER_RETURN_IF_ERROR(ReadTicks());
    SEER_RETURN_IF_ERROR(ReadViolations());
    report_->services = topology_.live_services();
    report_->edges = topology_.live_edges();
    return absl::OkStatus();
  }

 private:
  struct Column {
    enum class Kind { kService, kEdge, kOutstanding } kind;
    ServiceId service;
    Channel channel;
    EdgeId edge;
  };
  // depths.csv, or means.csv: the same columns.
  struct SeriesTable {
    std::unique_ptr<Table> table;  // none: it is not there
    std::vector<Column> columns;
    bool are_means = false;
    std::optional<Tick> tick, last;  // of the row that is read; none: no more
  };

  std::vector<const Table*> Tables() const {
    std::vector<const Table*> tables;
    for (const Table* const table : {depths_.table.get(), means_.table.get(), latency_.get()}) {
      if (table != nullptr) tables.push_back(table);
    }
    return tables;
  }
  std::uint64_t BytesDone() const {
    std::uint64_t done = 0;
    for (const Table* const table : Tables()) done += table->bytes_done();
    return done;
  }

  absl::StatusOr<ServiceId> ServiceOf(std::string_view name) {
    if (const auto found = topology_.FindService(name)) return *found;
    return topology_.AddService(name, options_.application);
  }

  absl::StatusOr<EdgeId> EdgeOf(ServiceId caller, ServiceId callee) {
    if (const auto found = topology_.FindEdge(caller, callee)) return *found;
    return topology_.AddEdge(caller, callee);
  }

  // An empty caller is the client outside.
  absl::StatusOr<EdgeId> EdgeOf(std::string_view caller, std::string_view callee) {
    ServiceId from;
    if (!caller.empty()) {
      SEER_ASSIGN_OR_RETURN(from, ServiceOf(caller));
    }
    SEER_ASSIGN_OR_RETURN(const ServiceId to, ServiceOf(callee));
    return EdgeOf(from, to);
  }

  absl::Status ReadTopology() {
    SEER_ASSIGN_OR_RETURN(std::unique_ptr<Table> table, OpenOptional(folder_, "topology.csv"));
    if (table == nullptr) {
      return absl::NotFoundError(
          folder_ + "/topology.csv is not there: write who calls whom (caller,callee)");
    }
    if (table->columns() != std::vector<std::string>{"caller", "callee"}) {
      return table->HeaderError("the header is not caller,callee: rename the columns");
    }
    for (;;) {
      SEER_ASSIGN_OR_RETURN(const bool more, table->Next());
      if (!more) return absl::OkStatus();
      const absl::StatusOr<EdgeId> edge = EdgeOf(table->Text(0), table->Text(1));
      if (!edge.ok()) return table->Wrong(1, Message(edge.status()));
    }
  }

  static std::string Message(const absl::Status& status) { return std::string(status.message()); }

  absl::Status ReadSeriesHeader(SeriesTable* series) {
    const std::vector<std::string>& names = series->table->columns();
    if (names[0] != "time_ms") {
      return series->table->HeaderError(
          "the header does not begin with time_ms: time_ms,<service>#<channel>,...");
    }
    for (std::size_t i = 1; i < names.size(); ++i) {
      SEER_RETURN_IF_ERROR(ReadSeriesColumn(names[i], series));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSeriesColumn(const std::string& name, SeriesTable* series) {
    const auto wrong = [&](std::string_view what) {
      return LineError(series->table->path(), 1, name, what);
    };
    const std::size_t hash = name.find_last_of('#');
    if (hash == std::string::npos || hash == 0) {
      return wrong("is not <service>#<channel>: rename the column");
    }
    const std::string_view row = std::string_view(name).substr(0, hash);
    const std::string_view channel = std::string_view(name).substr(hash + 1);
    Column column{Column::Kind::kEdge, {}, Channel::kRunning, {}};
    if (channel == "outbound") {
      const std::size_t arrow = row.find('>');
      if (arrow == std::string_view::npos) {
        return wrong("is no edge, <caller>><callee>#outbound: rename the column");
      }
      const absl::StatusOr<EdgeId> edge = EdgeOf(row.substr(0, arrow), row.substr(arrow + 1));
      if (!edge.ok()) return wrong(Message(edge.status()));
      column.edge = *edge;
    } else {
      const absl::StatusOr<ServiceId> service = ServiceOf(row);
      if (!service.ok()) return wrong(Message(service.status()));
      column.service = *service;
      if (channel == "outstanding") {
        column.kind = Column::Kind::kOutstanding;
      } else if (const auto known = ChannelFromName(channel)) {
        column.kind = Column::Kind::kService;
        column.channel = *known;
      } else {
        return wrong(
            "has no channel of seer: use nic, accept, socket, queued, running, blocked, "
            "send, outstanding, or outbound for an edge");
      }
    }
    for (const Column& other : series->columns) {
      if (other.kind == column.kind && other.service == column.service &&
          other.edge == column.edge && other.channel == column.channel) {
        return wrong("is there twice: leave one out");
      }
    }
    series->columns.push_back(column);
    return absl::OkStatus();
  }

  // Where exactly one edge leads to a service, the calls that stand there are that edge's; where
  // none does, they come from outside. Where several do, nobody says whose they are: they are the
  // service's as a whole, and the edges are missing. Asked when all columns are known, as they may
  // name edges that topology.csv does not.
  absl::Status PlaceOutstanding() {
    std::vector<std::vector<EdgeId>> into(topology_.services().size());
    for (std::uint32_t i = 0; i < topology_.edges().size(); ++i) {
      into[topology_.edges()[i].callee.index()].push_back(EdgeId(i));
    }
    std::vector<bool> told(topology_.edges().size(), false);
    for (const SeriesTable* const series : {&depths_, &means_}) {
      for (const Column& column : series->columns) {
        if (column.kind == Column::Kind::kEdge) told[column.edge.index()] = true;
      }
    }
    for (SeriesTable* const series : {&depths_, &means_}) {
      for (Column& column : series->columns) {
        if (column.kind != Column::Kind::kOutstanding) continue;
        const std::vector<EdgeId>& edges = into[column.service.index()];
        if (edges.size() > 1 || (edges.size() == 1 && told[edges[0].index()])) continue;
        if (edges.empty()) {
          SEER_ASSIGN_OR_RETURN(column.edge, EdgeOf(ServiceId(), column.service));
        } else {
          column.edge = edges[0];
        }
        column.kind = Column::Kind::kEdge;
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadLatencyHeader() {
    const std::vector<std::string>& names = latency_->columns();
    const std::vector<std::string> wanted = {"time_ms", "count", "p50_ms", "p99_ms"};
    bool good = names.size() >= 4 && std::equal(wanted.begin(), wanted.end(), names.begin());
    for (std::size_t i = 4; i < names.size(); ++i) {
      if (names[i] == "over_target" && over_column_ == 0) {
        over_column_ = i;
      } else if (names[i] == "class" && class_column_ == 0) {
        class_column_ = i;
      } else {
        good = false;
      }
    }
    if (good) return absl::OkStatus();
    return latency_->HeaderError(
        "the header is not time_ms,count,p50_ms,p99_ms[,over_target][,class]: rename the columns");
  }

  // The tick whose end is the time of the row, or the end of the tick in which the time lies.
  absl::StatusOr<Tick> TickOf(const Table& table, std::optional<Tick> before, bool may_repeat) {
    SEER_ASSIGN_OR_RETURN(const std::int64_t ms, table.Integer(0, kMaxMs));
    const Tick tick = period_.TickAt(ms * 1'000'000 - 1);
    if (before && (tick < *before || (tick == *before && !may_repeat))) {
      return table.Wrong(
          0, Quoted(table.Text(0)) + " does not come a tick of " +
                 std::to_string(period_.ns() / 1'000'000) +
                 " ms after the row before: sort the rows, or import with another tick");
    }
    return tick;
  }

  absl::Status Advance(SeriesTable* series) {
    if (series->table == nullptr) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(const bool more, series->table->Next());
    if (!more) {
      series->tick.reset();
      return absl::OkStatus();
    }
    SEER_ASSIGN_OR_RETURN(series->tick, TickOf(*series->table, series->last, false));
    series->last = series->tick;
    return absl::OkStatus();
  }
  absl::Status AdvanceLatency() {
    if (latency_ == nullptr) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(const bool more, latency_->Next());
    if (!more) {
      latency_tick_.reset();
      return absl::OkStatus();
    }
    SEER_ASSIGN_OR_RETURN(latency_tick_, TickOf(*latency_, last_latency_, true));
    last_latency_ = latency_tick_;
    return absl::OkStatus();
  }

  absl::Status ReadTicks() {
    constexpr Tick kNever = std::numeric_limits<Tick>::max();
    for (SeriesTable* const series : {&depths_, &means_}) SEER_RETURN_IF_ERROR(Advance(series));
    SEER_RETURN_IF_ERROR(AdvanceLatency());
    if (!depths_.tick && !means_.tick) {
      return depths_.table->HeaderError("there are no rows: record some");
    }
    std::vector<std::pair<ClassId, ClassTick>> classes;
    std::optional<std::uint64_t> version;
    ClusterTick tick;
    while (depths_.tick || means_.tick || latency_tick_) {
      const Tick now = std::min({depths_.tick.value_or(kNever), means_.tick.value_or(kNever),
                                 latency_tick_.value_or(kNever)});
      classes.clear();
      while (latency_tick_ == now) {
        SEER_RETURN_IF_ERROR(ReadLatency(&classes));
        SEER_RETURN_IF_ERROR(AdvanceLatency());
      }
      tick.tick = now;
      tick.period = period_;
      tick.topology_version = topology_.version();
      tick.Reset(topology_.services().size(), topology_.edges().size(), topology_.classes().size());
      for (auto& [id, row] : classes) tick.classes[id.index()] = std::move(row);
      for (SeriesTable* const series : {&depths_, &means_}) {
        if (series->tick != now) continue;
        SEER_RETURN_IF_ERROR(ReadSeries(*series, &tick));
        SEER_RETURN_IF_ERROR(Advance(series));
      }
      if (version != topology_.version()) {
        version = topology_.version();
        SEER_RETURN_IF_ERROR(writer_->SetTopology(topology_));
      }
      SEER_RETURN_IF_ERROR(writer_->Append(tick));
      ++report_->ticks;
      SEER_RETURN_IF_ERROR(meter_->Tell(BytesDone(), report_->rows));
    }
    report_->bytes = BytesDone();
    return absl::OkStatus();
  }

  absl::Status ReadSeries(const SeriesTable& series, ClusterTick* tick) {
    ++report_->rows;
    for (std::size_t i = 0; i < series.columns.size(); ++i) {
      SEER_ASSIGN_OR_RETURN(const std::optional<double> value, series.table->Real(i + 1));
      if (!value) continue;
      const Column& column = series.columns[i];
      const bool mean = series.are_means;
      switch (column.kind) {
        case Column::Kind::kEdge:
          mean ? tick->edges.SetMean(column.edge, *value)
               : tick->edges.SetDepth(column.edge, *value);
          break;
        case Column::Kind::kService:
          mean ? tick->services.SetMean(column.service, column.channel, *value)
               : tick->services.SetDepth(column.service, column.channel, *value);
          break;
        case Column::Kind::kOutstanding:
          mean ? tick->services.SetOutstandingMean(column.service, *value)
               : tick->services.SetOutstanding(column.service, *value);
          break;
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadLatency(std::vector<std::pair<ClassId, ClassTick>>* classes) {
    ++report_->rows;
    const std::string name(class_column_ == 0 ? std::string_view() : latency_->Text(class_column_));
    const std::string& wanted = name.empty() ? default_class_ : name;
    std::optional<ClassId> id = topology_.FindRequestClass(options_.application, wanted);
    if (!id) {
      const absl::StatusOr<ClassId> added =
          topology_.AddRequestClass(options_.application, wanted, options_.target);
      if (!added.ok()) return latency_->Wrong(class_column_, Message(added.status()));
      id = *added;
    }
    for (const auto& [other, row] : *classes) {
      if (other == *id) {
        return latency_->Wrong(0, Quoted(latency_->Text(0)) + " stands there twice for class " +
                                      Quoted(wanted) + ": leave one row out");
      }
    }
    ClassTick row;
    row.seen = true;
    SEER_ASSIGN_OR_RETURN(const std::int64_t count,
                          latency_->Integer(1, std::numeric_limits<std::int64_t>::max()));
    row.count = static_cast<std::uint64_t>(count);
    SEER_ASSIGN_OR_RETURN(row.p50_ns, Latency(2));
    SEER_ASSIGN_OR_RETURN(row.p99_ns, Latency(3));
    if (over_column_ != 0) {
      SEER_ASSIGN_OR_RETURN(const std::int64_t over, latency_->Integer(over_column_, count));
      row.over_target = static_cast<std::uint64_t>(over);
    } else {
      row.over_target = OverTarget(row, options_.target, true);
    }
    classes->emplace_back(*id, std::move(row));
    return absl::OkStatus();
  }

  absl::StatusOr<std::int64_t> Latency(std::size_t column) const {
    SEER_ASSIGN_OR_RETURN(const std::optional<double> ms, latency_->Real(column));
    if (ms.value_or(0) > static_cast<double>(kMaxMs)) {
      return latency_->Wrong(column, "is longer than 285 years: correct it");
    }
    return static_cast<std::int64_t>(std::llround(ms.value_or(0) * 1e6));
  }

  absl::Status ReadViolations() {
    SEER_ASSIGN_OR_RETURN(std::unique_ptr<Table> table, OpenOptional(folder_, "violations.csv"));
    if (table == nullptr) return absl::OkStatus();
    if (table->columns() != std::vector<std::string>{"start_ms", "end_ms", "culprit", "cause"}) {
      return table->HeaderError(
          "the header is not start_ms,end_ms,culprit,cause: rename the columns");
    }
    for (;;) {
      SEER_ASSIGN_OR_RETURN(const bool more, table->Next());
      if (!more) return absl::OkStatus();
      ++report_->rows;
      DatasetEvent event;
      SEER_ASSIGN_OR_RETURN(const std::int64_t start, table->Integer(0, kMaxMs));
      SEER_ASSIGN_OR_RETURN(const std::int64_t end, table->Integer(1, kMaxMs));
      if (end < start) return table->Wrong(1, "ends before it starts: correct it");
      event.start_ns = start * 1'000'000;
      event.end_ns = end * 1'000'000;
      const std::string_view culprit = table->Text(2);
      if (culprit == "load") {
        event.initiation = Initiation::kLoad;
        event.confidence = 1;
      } else if (!culprit.empty()) {
        if (!topology_.FindService(culprit)) {
          return table->Wrong(2, Quoted(culprit) +
                                     " is a service that neither depths.csv nor topology.csv "
                                     "names: correct it, write load, or leave it empty");
        }
        event.initiation = Initiation::kService;
        event.culprit = std::string(culprit);
        event.confidence = 1;
      }
      event.cause = std::string(table->Text(3));
      event.source = "violations.csv";
      SEER_RETURN_IF_ERROR(writer_->AddEvent(event));
      ++report_->events;
    }
  }

  const std::string folder_;
  const ImportOptions& options_;
  const TickPeriod period_;
  DatasetWriter* const writer_;
  ImportReport* const report_;
  std::optional<ProgressMeter> meter_;
  Topology topology_;
  SeriesTable depths_, means_;
  std::unique_ptr<Table> latency_;
  const std::string default_class_ =
      options_.request_class.empty() ? "all" : options_.request_class;
  std::size_t over_column_ = 0, class_column_ = 0;  // 0: not there
  std::optional<Tick> latency_tick_, last_latency_;
};

}  // namespace

absl::Status ImportCsvFolder(const std::string& folder, const ImportOptions& options,
                             DatasetWriter* writer, ImportReport* report) {
  return CsvFolder(folder, options, writer, report).Run();
}

}  // namespace internal
SEER_END_NAMESPACE
