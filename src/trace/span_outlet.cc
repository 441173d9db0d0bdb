#include "trace/span_outlet.h"

#include <unistd.h>

#include <ctime>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::size_t kManyBatches = 32;  // that may keep their memory
constexpr std::size_t kSmallBatch = 256;

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
  return name;
}

}  // namespace

bool NotNow(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

absl::StatusOr<Topology> DrainersTopology(const DrainerOptions& options, std::int64_t epoch_ns) {
  const std::string node = options.node.empty() ? HostName() : options.node;
  const std::uint64_t epoch =
      options.epoch != 0 ? options.epoch : static_cast<std::uint64_t>(epoch_ns);
  SEER_ASSIGN_OR_RETURN(Topology topology, Topology::OfNode(node, epoch));
  SEER_RETURN_IF_ERROR(topology.AddNode(node).status());
  return topology;
}

absl::Status CheckDrainerOptions(const DrainerOptions& options) {
  if (options.max_spans == 0) return absl::InvalidArgumentError("max_spans: is 0; give at least 1");
  if (options.max_batch == 0) return absl::InvalidArgumentError("max_batch: is 0; give at least 1");
  if (options.lease < std::chrono::milliseconds(10) || options.lease > std::chrono::hours(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("lease: ", options.lease.count(), " ns is not from 10 ms to 1 h"));
  }
  return absl::OkStatus();
}

std::int64_t LeaseNowMs(const DrainerOptions& options) {
  if (options.lease_clock != nullptr) return options.lease_clock->NowNs() / 1'000'000;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

SpanOutlet::SpanOutlet(std::shared_ptr<TraceSink> sink, std::size_t max_batch, std::size_t max_rows,
                       Topology topology)
    : sink_(std::move(sink)),
      max_batch_(max_batch),
      max_rows_(max_rows),
      topology_(std::move(topology)),
      batches_(1) {}

bool SpanOutlet::Room(std::size_t rows) {
  if (rows < max_rows_) return true;
  full_ = true;
  return false;
}

ServiceId SpanOutlet::Service(std::string_view name) {
  if (const auto known = topology_.FindService(name)) return *known;
  if (!Room(topology_.services().size())) return ServiceId();
  return topology_.AddService(name).value_or(ServiceId());
}
MethodId SpanOutlet::Method(ServiceId service, std::string_view name) {
  if (!service.valid()) return MethodId();
  if (const auto known = topology_.FindMethod(service, name)) return *known;
  if (!Room(topology_.methods().size())) return MethodId();
  return topology_.AddMethod(service, name).value_or(MethodId());
}
EdgeId SpanOutlet::Edge(ServiceId caller, ServiceId callee) {
  if (!caller.valid() || !callee.valid()) return EdgeId();
  if (const auto known = topology_.FindEdge(caller, callee)) return *known;
  if (!Room(topology_.edges().size())) return EdgeId();
  return topology_.AddEdge(caller, callee).value_or(EdgeId());
}
InstanceId SpanOutlet::Instance(ServiceId service, std::string_view name, std::uint64_t pid) {
  if (!service.valid()) return InstanceId();
  const auto number = static_cast<std::int32_t>(pid <= 0x7fffffff ? pid : 0);
  const auto pids = absl::MakeConstSpan(&number, number > 0 ? 1 : 0);
  if (const auto known = topology_.FindInstance(service, name)) return *known;
  if (!Room(topology_.instances().size())) return InstanceId();
  const absl::StatusOr<InstanceId> added =
      topology_.AddInstance(service, name, NodeId(0), {}, pids);
  if (!added.ok()) return InstanceId();
  // The spans of no instance stay the last.
  batches_.insert(batches_.end() - 1, SpanBatch());
  batches_[added->index()].instance = *added;
  return *added;
}

void SpanOutlet::StartOver(Topology topology) {
  // Whatever still waits has ids of the numbering before.
  for (const SpanBatch& batch : batches_) {
    counts_.discarded += batch.spans.size();
    counts_.waiting -= batch.spans.size();
    dropped_ += batch.dropped;
  }
  topology_ = std::move(topology);
  batches_.assign(1, SpanBatch());
  full_ = false;
}

void SpanOutlet::Add(InstanceId instance, const Span& span) {
  const bool known = instance.valid() && instance.index() + 1 < batches_.size();
  (known ? batches_[instance.index()] : batches_.back()).spans.push_back(span);
  ++counts_.waiting;
}

absl::Status SpanOutlet::HandOn(SpanBatch* batch) {
  if (batch->spans.empty()) return absl::OkStatus();
  batch->origin = topology_.origin();
  batch->dropped += std::exchange(dropped_, 0);
  absl::Status status = sink_->Write(*batch);
  if (!status.ok() && NotNow(status)) return status;
  (status.ok() ? counts_.delivered : counts_.discarded) += batch->spans.size();
  counts_.waiting -= batch->spans.size();
  // A discarded batch leaves a gap in the sequence, and the sink never heard of its drops.
  if (!status.ok()) dropped_ += batch->dropped;
  ++batch->sequence;
  batch->dropped = 0;
  batch->spans.clear();
  if (batches_.size() > kManyBatches && batch->spans.capacity() > kSmallBatch) {
    batch->spans.shrink_to_fit();
  }
  return status;
}

absl::Status SpanOutlet::HandOnFull() {
  absl::Status first;
  for (SpanBatch& batch : batches_) {
    if (batch.spans.size() < max_batch_) continue;
    absl::Status status = HandOn(&batch);
    if (NotNow(status)) return status;
    first.Update(status);
  }
  return first;
}
absl::Status SpanOutlet::HandOnAll() {
  absl::Status first;
  for (SpanBatch& batch : batches_) {
    absl::Status status = HandOn(&batch);
    if (NotNow(status)) return status;
    first.Update(status);
  }
  return first;
}

}  // namespace internal
SEER_END_NAMESPACE
