// Flow: span segments of all processes of a node -> [SpanProbe] -> Snapshot::classes, TraceSink
//
// Spans in a node's agent, in one object: every tick it drains them from all processes, tells the
// snapshot how each request class did and how many spans were lost, and hands the spans on.
//
//   seer::SpanProbeOptions options;
//   options.classes.push_back({"shop", "checkout", seer::QosTarget::Percentile(0.99, 20ms, 1s),
//                              "shop-frontend", {"POST /checkout"}});
//   options.sink = exporter;                                    // may be null: nobody wants them
//   absl::Status status = seer::SpanProbe::Install(options, collector.get());
//
// From then on each snapshot of the collector has a row for each class. A class is served where its
// service's instances are: give every agent all classes of the cluster; the control plane adds up
// what the nodes saw. On a node that serves none of it, a class has no requests.
//
// What the sink does not take is lost to it, and counted: spans that waited for it would fill the
// rings, and the classes would be blind because an exporter is. A GuardedSink (guarded_sink.h) in
// between keeps them a while.
//
// The latency of a class is what the service sees, from a request's arrival to its reply; what lies
// between the user and the first service is not in it.
//
// Threads: those of a DepthProbe: the collector's. The sink is called there.
// Cost:    NodeDrainer's and ClassMeter's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/queue/depth_probe.h"
#include "seer/trace/class_meter.h"
#include "seer/trace/node_drainer.h"
#include "seer/trace/sink.h"

SEER_BEGIN_NAMESPACE

class Collector;

// A class of requests, and which requests are of it.
struct SpanClass {
  std::string application;  // may be empty
  std::string name;
  QosTarget target;
  std::string service;               // where they come in
  std::vector<std::string> methods;  // empty: all that it serves
};

struct SpanProbeOptions {
  NodeDrainerOptions drainer;
  ClassMeterOptions meter;
  // Where several want a method, the first has it.
  std::vector<SpanClass> classes;
  std::shared_ptr<TraceSink> sink;  // null: spans are only counted
};

class SpanProbe final : public DepthProbe {
 public:
  // Declares the classes to the collector and asks the probe for each of its snapshots.
  // InvalidArgument names the option; the collector is then as it was. Before Start().
  [[nodiscard]] static absl::Status Install(const SpanProbeOptions& options, Collector* collector);
  // Without a collector: for a snapshot whose topology has the classes, by application and name.
  static absl::StatusOr<std::unique_ptr<SpanProbe>> Create(const SpanProbeOptions& options);
  ~SpanProbe() override;

  std::string_view name() const override { return "spans"; }
  ChannelMask channels() const override { return ChannelMask(); }
  // FailedPrecondition only after fork().
  [[nodiscard]] absl::Status Sample(const Topology& topology, Snapshot* snapshot) override;

  // Of the spans that the sink gets. For the sink, from Write().
  const Topology& topology() const;
  const DrainCounts& counts() const;
  std::uint64_t refused_spans() const;  // by the sink
  const ClassMeterCounts& class_counts() const;

 private:
  class Impl;
  explicit SpanProbe(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
