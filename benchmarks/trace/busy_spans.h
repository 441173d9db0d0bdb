// What an instance of a busy service records in a tick: requests with all five stamps and the calls
// that they make, of a dozen methods, one in a hundred of them failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "seer/core/span.h"
#include "seer/core/topology.h"

namespace seer::bench {

inline constexpr std::size_t kBatchSpans = 1000;

struct BusySpans {
  Topology topology = *Topology::OfNode("node-17", 1'700'000'000);
  SpanBatch batch;
};

inline BusySpans MakeBusySpans() {
  BusySpans busy;
  Topology& t = busy.topology;
  std::mt19937_64 random(20190413);
  const ServiceId front = *t.AddService("home-timeline-service", "social-network");
  const NodeId node = *t.AddNode("node-17");
  busy.batch.instance = *t.AddInstance(front, "home-timeline-7f9c4d", node);
  const EdgeId from_outside = *t.AddEdge(ServiceId(), front);
  std::vector<MethodId> served, called;
  std::vector<EdgeId> edges;
  for (int i = 0; i < 4; ++i)
    served.push_back(*t.AddMethod(front, "ReadTimeline" + std::to_string(i)));
  for (int i = 0; i < 8; ++i) {
    const ServiceId back = *t.AddService("post-storage-service-" + std::to_string(i));
    edges.push_back(*t.AddEdge(front, back));
    called.push_back(*t.AddMethod(back, "ReadPosts" + std::to_string(i)));
  }
  busy.batch.origin = t.origin();

  std::int64_t now = 1'700'000'000'000'000'000;
  for (std::size_t n = 0; n < kBatchSpans; ++n) {
    now += static_cast<std::int64_t>(random() % 200'000);
    const auto wait = [&] { return static_cast<std::int64_t>(random() % 500'000); };
    Span span;
    span.SetIds({random(), random()}, random() | 1, random() | 1);
    span.set_outcome(random() % 100 == 0 ? Outcome::kTimedOut : Outcome::kOk);
    Span::Stamps stamps;
    std::int64_t at = now;
    if (n % 2 == 0) {
      span.set_method(served[random() % served.size()]);
      span.set_edge(from_outside);
      for (std::size_t i = 0; i < 5; ++i) stamps[i] = at += wait();
      span.SetStamps(SpanSide::kServer, stamps);
    } else {
      const std::size_t call = random() % called.size();
      span.set_method(called[call]);
      span.set_edge(edges[call]);
      for (std::size_t i = 0; i < 4; ++i) stamps[i] = at += wait();
      span.SetStamps(SpanSide::kClient, stamps);
    }
    busy.batch.spans.push_back(span);
  }
  return busy;
}

}  // namespace seer::bench
