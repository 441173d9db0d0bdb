// The same snapshots through libprotobuf, message and buffer reused as well.
#include <benchmark/benchmark.h>

#include <string>

#include "benchmarks/core/busy_snapshot.h"
#include "benchmarks/harness/figure.h"
#include "snapshot.pb.h"

namespace seer::bench {
namespace {

template <typename Column>
void Assign(absl::Span<const std::uint32_t> from, Column* to) {
  to->Assign(from.begin(), from.end());
}

snapshot_peer::Snapshot ToProto(const Snapshot& snapshot) {
  snapshot_peer::Snapshot proto;
  proto.set_node(snapshot.origin.node);
  proto.set_epoch(snapshot.origin.epoch);
  proto.set_topology_version(snapshot.origin.topology_version);
  proto.set_tick(snapshot.tick);
  proto.set_period_ns(snapshot.period.ns());
  const auto instances = snapshot.instances.size();
  for (std::size_t i = 0; i < instances; ++i) {
    const InstanceId id(static_cast<std::uint32_t>(i));
    proto.mutable_coverage()->push_back(static_cast<char>(snapshot.instances.coverage(id).bits()));
  }
  *proto.mutable_counted() = proto.coverage();
  proto.mutable_shared()->assign(instances, '\0');
  for (Channel channel : kAllChannels) {
    snapshot_peer::ChannelColumns* columns = proto.add_channels();
    Assign(snapshot.instances.depths(channel), columns->mutable_depth());
    Assign(snapshot.instances.widths(channel), columns->mutable_width());
    Assign(snapshot.instances.arrivals(channel), columns->mutable_arrivals());
    Assign(snapshot.instances.departures(channel), columns->mutable_departures());
  }
  proto.mutable_edges_seen()->assign(snapshot.edges.size(), '\1');
  Assign(snapshot.edges.outstanding(), proto.mutable_edges_outstanding());
  Assign(snapshot.edges.made(), proto.mutable_edges_made());
  for (const ClassSample& sample : snapshot.classes) {
    snapshot_peer::ClassSample* out = proto.add_classes();
    out->set_count(sample.count);
    out->set_over_target(sample.over_target);
    out->set_oldest_open_ns(sample.oldest_open_ns);
    for (const LatencyHistogram::Bucket& bucket : sample.latency.buckets()) {
      out->add_bucket_index(bucket.index);
      out->add_bucket_count(bucket.count);
    }
  }
  return proto;
}

void BM_WireProtobuf(benchmark::State& state) {
  const snapshot_peer::Snapshot snapshot =
      ToProto(BusySnapshot(static_cast<std::uint32_t>(state.range(0)), EdgesFor(state.range(0))));
  std::string bytes;
  snapshot_peer::Snapshot decoded;
  for (auto _ : state) {
    snapshot.SerializeToString(&bytes);
    if (!decoded.ParseFromString(bytes)) state.SkipWithError("parse failed");
    benchmark::DoNotOptimize(decoded);
  }
  state.counters["bytes"] = static_cast<double>(bytes.size());
}
BENCHMARK(BM_WireProtobuf)->Arg(386)->Arg(10'000)->Unit(benchmark::kMicrosecond);

SEER_FIGURE(vs_protobuf, Speedup("wire.vs_protobuf", ">= 3", "BM_Wire/386", "BM_WireProtobuf/386",
                                 "libprotobuf, packed columns"));
SEER_FIGURE(vs_protobuf10k, Speedup("wire.vs_protobuf10k", "", "BM_Wire/10000",
                                    "BM_WireProtobuf/10000", "libprotobuf, packed columns"));

}  // namespace
}  // namespace seer::bench
