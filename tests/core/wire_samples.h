// Values with something in every field, for the tests of the wire format: written once, used by the
// round trips, the golden files, the damage tests and the fuzzers' corpus.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>

#include "seer/core/wire.h"

namespace seer::testing {

inline Topology SampleTopology() {
  using std::chrono::milliseconds;
  Topology t = *Topology::OfNode("node-7", 42);
  const ServiceId front = *t.AddService("front", "shop");
  const ServiceId cart = *t.AddService("cart", "shop");
  const ServiceId gone = *t.AddService("gone", "shop");
  const NodeId node = *t.AddNode("node-7");
  const InstanceId first = *t.AddInstance(front, "front-0", node, "/kube/front-0", {17, 18});
  (void)*t.AddInstance(cart, "cart-\xc3\xa4", node);
  (void)*t.AddEdge(ServiceId(), front);
  (void)*t.AddEdge(front, cart, EdgeKind::kAsync);
  (void)*t.AddEdge(cart, cart);
  (void)*t.AddEdge(front, gone);
  (void)*t.AddRequestClass(
      "shop", "checkout", QosTarget::Percentile(0.99, milliseconds(20), milliseconds(1000)), front);
  (void)*t.AddMethod(cart, "AddItem");
  if (!t.RemoveService(gone).ok() || !t.RenameService(cart, "basket").ok()) std::abort();
  if (!t.SetPids(first, {19}).ok()) std::abort();
  return t;
}

// Small numbers mostly, large ones now and then: every block width occurs.
inline std::uint32_t SampleNumber(std::mt19937& random) {
  const auto r = static_cast<std::uint32_t>(random());
  return r % 50 == 0 ? r : r % 11 == 0 ? r % 60'000 : r % 100;
}

// What wire version 0.1 knew of a snapshot. Every channel covered by some instances but not by all,
// a shared queue, bytes, inexact depths.
inline Snapshot SampleSnapshotOfVersion01(std::size_t instances = 3, std::size_t edges = 4,
                                          std::uint32_t seed = 1) {
  std::mt19937 random(seed);
  const auto number = [&] { return SampleNumber(random); };
  Snapshot s;
  s.origin = {"node-7", 42, 9};
  s.tick = 17'000'000'123;
  s.instances.Reset(instances);
  for (std::uint32_t i = 0; i < instances; ++i) {
    for (Channel channel : kAllChannels) {
      if (random() % 4 == 0) continue;
      ChannelSample sample;
      sample.depth = number();
      sample.width = random() % 20 == 0 ? number() : 0;
      sample.counted = channel >= Channel::kQueued;
      if (sample.counted) {
        sample.arrivals = number();
        sample.departures = number();
      }
      sample.shared = channel == Channel::kNic && i % 2 == 0;
      s.instances.Set(InstanceId(i), channel, sample);
      if (channel == Channel::kSocket) {
        s.instances.SetBytes(InstanceId(i), channel, std::uint64_t{number()} << 20);
      }
    }
  }
  s.instances.set_missing(Channel::kAccept, Missing::kNoPermission);
  s.edges.Reset(edges);
  for (std::uint32_t e = 0; e < edges; ++e) {
    if (random() % 5 == 0) continue;
    s.edges.Set(EdgeId(e), {number(), random() % 9 == 0 ? number() : 0, number()});
  }
  s.classes.resize(2);
  s.classes[0].count = 310;
  s.classes[0].over_target = 4;
  s.classes[0].oldest_open_ns = 1'234'567;
  for (int i = 0; i < 300; ++i) s.classes[0].latency.Record(1'000'000 + 1000 * number());
  s.health = {1, 2, 3, 4, -5};
  return s;
}

// The same with all that is known today: peaks of some queues, and some that are timed.
inline Snapshot SampleSnapshot(std::size_t instances = 3, std::size_t edges = 4,
                               std::uint32_t seed = 1) {
  Snapshot s = SampleSnapshotOfVersion01(instances, edges, seed);
  std::mt19937 random(seed + 1);
  for (std::uint32_t i = 0; i < instances; ++i) {
    for (Channel channel : kAllChannels) {
      std::optional<ChannelSample> sample = s.instances.Get(InstanceId(i), channel);
      if (!sample) continue;
      if (random() % 4 != 0) sample->peak = SampleNumber(random);
      if (sample->counted && random() % 3 != 0) {
        sample->timed = true;
        sample->mean_depth_milli = SampleNumber(random);
        sample->mean_wait_us = SampleNumber(random);
      }
      s.instances.Set(InstanceId(i), channel, *sample);
    }
  }
  s.health.missed_ticks = 6;
  s.health.processes = 7;
  s.health.dead_processes = 8;
  s.health.inexact_reads = 9;
  return s;
}

inline SpanBatch SampleSpans(std::size_t count = 3) {
  SpanBatch batch;
  batch.origin = {"node-7", 42, 9};
  batch.instance = InstanceId(1);
  batch.sequence = 77;
  batch.dropped = 2;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t start = 1'700'000'000'000'000'000 + static_cast<std::int64_t>(i) * 1000;
    Span span;
    span.SetIds({0xaaaa, i + 1}, i + 1, i);
    span.set_method(MethodId(static_cast<std::uint32_t>(i)));
    span.set_outcome(i % 2 == 0 ? Outcome::kOk : Outcome::kTimedOut);
    if (i % 2 == 0) {
      span.SetStamps(SpanSide::kServer, {start, start + 10, start + 20, start + 900, start + 950});
    } else {
      span.set_edge(EdgeId(1));
      span.SetStamps(SpanSide::kClient,
                     {start, start + 5, std::nullopt, start + 4'000'000'000'000, std::nullopt});
    }
    batch.spans.push_back(span);
  }
  return batch;
}

inline HwReading SampleHwReading() {
  HwReading reading;
  reading.origin = {"node-7", 42, 9};
  reading.target = InstanceId(1);
  reading.end_ns = 1'700'000'000'000'000'000;
  reading.interval_ns = 300'000'000;
  reading.requests = 1234;
  double value = 0.5;
  for (Resource resource : kAllResources) {
    reading.instance[resource].delay_us = {value += 1, Quality::kOk, Reason::kNone, Scope::kCgroup};
    reading.node[resource].utilisation = {value / 10, Quality::kScaled, Reason::kMultiplexed,
                                          Scope::kHost};
  }
  return reading;
}

inline Recommendation SampleRecommendation() {
  Recommendation r;
  r.id = 5;
  r.issued_ns = 1'700'000'000'000'000'000;
  r.target = {"cart", "cart-0", "node-7", "/kube/cart-0"};
  r.cause = Cause::kCpu;
  r.confidence = 0.875f;
  r.reason = "run-queue delay 8x its healthy value";
  r.action = Action::kCpuLimit;
  r.from = 2;
  r.to = 3.5;
  r.lower = 1;
  r.upper = 4;
  r.precondition = 2;
  r.expected_metric = "p99 ms of checkout";
  r.expected_from = 31;
  r.expected_to = 12;
  r.settle_ns = 1'000'000'000;
  r.expires_ns = 1'700'000'060'000'000'000;
  r.undo = 2;
  return r;
}

inline ActionTaken SampleActionTaken() {
  ActionTaken a;
  a.recommendation_id = 5;
  a.target = {"cart", "cart-0", "node-7", "/kube/cart-0"};
  a.action = Action::kCpuLimit;
  a.outcome = ActionOutcome::kApplied;
  a.value_before = 2;
  a.value_after = 3.5;
  a.time_ns = 1'700'000'000'050'000'000;
  a.detail = "cpu.max";
  return a;
}

}  // namespace seer::testing
