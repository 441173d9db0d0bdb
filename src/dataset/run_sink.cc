#include "dataset/run_sink.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <queue>
#include <type_traits>
#include <utility>

#include "dataset/mapped_file.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

static_assert(std::is_trivially_copyable_v<SpanInterval>, "written to a temporary file as it is");

TopologyBuilderOptions BuilderOptions(const ImportOptions& options) {
  TopologyBuilderOptions out;
  out.application = options.application;
  out.default_target = options.target;
  out.learn_classes = options.request_class.empty();
  return out;
}

SpanDepthsOptions DepthsOptions(const ImportOptions& options) {
  SpanDepthsOptions out;
  out.period = options.run.period;
  out.reorder_ns = options.reorder_ns;
  out.max_parts = std::size_t{1} << 22;
  out.servers_stand_for_callers = true;
  return out;
}

std::unique_ptr<ViolationLabeller> MakeLabeller(const ImportOptions& options,
                                                const Topology* topology) {
  if (!options.label) return nullptr;
  ViolationLabellerOptions out;
  out.violations.quiet_ns = options.label_calm_ns;
  out.culprits.period = options.run.period;
  // Ticks come so much later than the spans.
  out.culprits.keep_ns =
      std::max(out.culprits.keep_ns, options.reorder_ns + std::int64_t{60'000'000'000});
  return std::make_unique<ViolationLabeller>(out, topology);
}

constexpr char kOutOfOrder[] = "seer: the spans are further out of order than reorder_ns";

bool StartsBefore(const SpanInterval& a, const SpanInterval& b) { return a.start_ns < b.start_ns; }

}  // namespace

IntervalSorter::~IntervalSorter() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status IntervalSorter::Add(const SpanInterval& interval) {
  some_.push_back(interval);
  return some_.size() < kInMemory ? absl::OkStatus() : Spill();
}

absl::Status IntervalSorter::Spill() {
  const std::string where = "a temporary file in /tmp";
  if (fd_ < 0) {
    char name[] = "/tmp/seer-import-XXXXXX";
    fd_ = ::mkostemp(name, O_CLOEXEC);
    if (fd_ < 0) return SystemError(where, "cannot be made", errno);
    ::unlink(name);
  }
  std::stable_sort(some_.begin(), some_.end(), StartsBefore);
  const char* const bytes = reinterpret_cast<const char*>(some_.data());
  const std::size_t size = some_.size() * sizeof(SpanInterval);
  for (std::size_t done = 0; done < size;) {
    const ssize_t n =
        ::pwrite(fd_, bytes + done, size - done, static_cast<off_t>(file_bytes_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return SystemError(where, "cannot be written", n < 0 ? errno : ENOSPC);
    done += static_cast<std::size_t>(n);
  }
  file_bytes_ += size;
  ends_.push_back(file_bytes_);
  some_.clear();
  return absl::OkStatus();
}

absl::Status IntervalSorter::Drain(const std::function<void(const SpanInterval&)>& sink) {
  std::stable_sort(some_.begin(), some_.end(), StartsBefore);
  if (ends_.empty()) {
    for (const SpanInterval& interval : some_) sink(interval);
    return absl::OkStatus();
  }
  // A merge of all pieces: each holds a little of its front in memory.
  struct Piece {
    std::uint64_t at, end;
    std::vector<SpanInterval> front;
    std::size_t next = 0;
  };
  std::vector<Piece> pieces;
  const std::size_t each = std::max<std::size_t>(64, kInMemory / (ends_.size() + 1));
  for (std::size_t i = 0; i < ends_.size(); ++i) {
    pieces.push_back({i == 0 ? 0 : ends_[i - 1], ends_[i], {}, 0});
  }
  pieces.push_back({0, 0, std::move(some_), 0});
  const auto refill = [&](Piece& piece) -> absl::Status {
    const auto n = std::min<std::uint64_t>(each, (piece.end - piece.at) / sizeof(SpanInterval));
    piece.front.resize(n);
    piece.next = 0;
    char* const to = reinterpret_cast<char*>(piece.front.data());
    const std::size_t size = n * sizeof(SpanInterval);
    for (std::size_t done = 0; done < size;) {
      const ssize_t got = ::pread(fd_, to + done, size - done, static_cast<off_t>(piece.at + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return SystemError("a temporary file", "cannot be read", got < 0 ? errno : EIO);
      done += static_cast<std::size_t>(got);
    }
    piece.at += size;
    return absl::OkStatus();
  };
  using Head = std::pair<std::int64_t, std::size_t>;
  std::priority_queue<Head, std::vector<Head>, std::greater<Head>> heads;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].front.empty()) SEER_RETURN_IF_ERROR(refill(pieces[i]));
    if (!pieces[i].front.empty()) heads.push({pieces[i].front[0].start_ns, i});
  }
  while (!heads.empty()) {
    const std::size_t i = heads.top().second;
    heads.pop();
    Piece& piece = pieces[i];
    sink(piece.front[piece.next++]);
    if (piece.next == piece.front.size()) SEER_RETURN_IF_ERROR(refill(piece));
    if (piece.next < piece.front.size()) heads.push({piece.front[piece.next].start_ns, i});
  }
  return absl::OkStatus();
}

RunSink::RunSink(const ImportOptions& options, bool sort, const RunFacts* known,
                 DatasetWriter* writer, ImportReport* report)
    : options_(options),
      sort_(sort),
      writer_(writer),
      report_(report),
      builder_(known == nullptr ? Topology() : known->topology, BuilderOptions(options)),
      depths_(DepthsOptions(options), &builder_.topology(),
              [this](const ClusterTick& tick) { Give(tick); }),
      labeller_(MakeLabeller(options, &builder_.topology())) {
  if (known == nullptr) return;
  facts_ = *known;
  CoverAll();
}

RunFacts RunSink::TakeFacts() {
  facts_.topology = builder_.topology();
  return std::move(facts_);
}

bool RunSink::IsOutOfOrder(const absl::Status& status) {
  return status.code() == absl::StatusCode::kAborted && status.message() == kOutOfOrder;
}

absl::StatusOr<CallIds> RunSink::Learn(const NamedCall& call, std::int64_t now_ns) {
  SEER_ASSIGN_OR_RETURN(CallIds ids, builder_.Learn(call, now_ns));
  if (!options_.request_class.empty() && call.root && ids.callee.valid()) {
    Topology& topology = builder_.topology();
    if (const auto found =
            topology.FindRequestClass(options_.application, options_.request_class)) {
      ids.request_class = *found;
    } else {
      SEER_ASSIGN_OR_RETURN(ids.request_class,
                            topology.AddRequestClass(options_.application, options_.request_class,
                                                     options_.target, ids.callee));
    }
  }
  return ids;
}

absl::Status RunSink::Add(const SpanInterval& interval) {
  ++report_->intervals;
  Note(interval);
  if (sort_) return sorter_.Add(interval);
  if (interval.start_ns < last_start_ns_ - options_.reorder_ns) {
    return absl::AbortedError(kOutOfOrder);
  }
  last_start_ns_ = std::max(last_start_ns_, interval.start_ns);
  if (labeller_ != nullptr) labeller_->Add(interval);
  depths_.Add(interval);
  return failed_;
}

// A file is a whole recording: what it shows later was at rest before.
void RunSink::Note(const SpanInterval& interval) {
  if (!any_) {
    any_ = true;
    last_start_ns_ = interval.start_ns;
    if (facts_.edges.empty()) facts_.first_ns = interval.start_ns;
  }
  facts_.first_ns = std::min(facts_.first_ns, interval.start_ns);
  const auto once = [](std::vector<std::uint8_t>& seen, std::uint32_t row) {
    if (row == Id<void>::kNone) return false;
    if (row >= seen.size()) seen.resize(std::size_t{row} + 1, 0);
    return std::exchange(seen[row], std::uint8_t{1}) == 0;
  };
  const bool server = interval.side == SpanSide::kServer;
  const ServiceId recorder = server ? interval.callee : interval.caller;
  bool fresh = false;
  if (once(facts_.services[server ? 1 : 0], recorder.value())) {
    depths_.CoverFrom(recorder, interval.side, facts_.first_ns);
    fresh = true;
  }
  if (!server && once(facts_.edges, interval.edge.value())) {
    depths_.CoverFrom(interval.edge, facts_.first_ns);
    fresh = true;
  }
  if (once(facts_.classes, interval.request_class.value())) {
    depths_.CoverFrom(interval.request_class, facts_.first_ns);
    fresh = true;
  }
  learnt_late_ = learnt_late_ || (fresh && report_->ticks > 0);
}

void RunSink::CoverAll() {
  const auto each = [](const std::vector<std::uint8_t>& seen, const auto& cover) {
    for (std::uint32_t i = 0; i < seen.size(); ++i) {
      if (seen[i]) cover(i);
    }
  };
  const std::int64_t since = facts_.first_ns;
  each(facts_.edges, [&](std::uint32_t i) { depths_.CoverFrom(EdgeId(i), since); });
  each(facts_.classes, [&](std::uint32_t i) { depths_.CoverFrom(ClassId(i), since); });
  each(facts_.services[0],
       [&](std::uint32_t i) { depths_.CoverFrom(ServiceId(i), SpanSide::kClient, since); });
  each(facts_.services[1],
       [&](std::uint32_t i) { depths_.CoverFrom(ServiceId(i), SpanSide::kServer, since); });
}

absl::Status RunSink::Finish() {
  if (sort_) {
    CoverAll();  // with the earliest start of all
    SEER_RETURN_IF_ERROR(sorter_.Drain([this](const SpanInterval& interval) {
      if (!failed_.ok()) return;
      if (labeller_ != nullptr) labeller_->Add(interval);
      depths_.Add(interval);
    }));
  }
  depths_.Finish();
  SEER_RETURN_IF_ERROR(failed_);
  SEER_RETURN_IF_ERROR(writer_->SetTopology(builder_.topology()));
  if (labeller_ != nullptr) {
    labeller_->Finish();
    for (const LabelledViolation& label : labeller_->Take()) {
      SEER_RETURN_IF_ERROR(writer_->AddEvent(EventOf(label, builder_.topology())));
      ++report_->events;
    }
  }
  report_->far_ahead = depths_.stats().far_ahead;
  report_->services = builder_.topology().live_services();
  report_->edges = builder_.topology().live_edges();
  return absl::OkStatus();
}

void RunSink::Give(const ClusterTick& tick) {
  if (!failed_.ok()) return;
  if (version_ != builder_.topology().version()) {
    version_ = builder_.topology().version();
    failed_ = writer_->SetTopology(builder_.topology());
    if (!failed_.ok()) return;
  }
  ++report_->ticks;
  if (labeller_ != nullptr) labeller_->Observe(tick);
  failed_ = writer_->Append(tick);
}

}  // namespace internal
SEER_END_NAMESPACE
