// Spans of all kinds, and a topology whose names are as hostile as names can be, for the tests of
// the export formats.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "seer/core/span.h"
#include "seer/core/topology.h"

namespace seer::testing {

// Quotes, a backslash, an a-umlaut, and a byte that is no UTF-8.
inline constexpr char kHostileName[] = "ba\"sk\\et\xc3\xa4\xff</script>";
inline constexpr char kHostileNameAsUtf8[] = "ba\"sk\\et\xc3\xa4\xef\xbf\xbd</script>";

inline constexpr std::int64_t kStartNs = 1'700'000'000'123'456'789;

struct TraceSample {
  Topology topology = *Topology::OfNode("node-7", 42);
  SpanBatch batch;
  MethodId read_posts, hostile_method;
  EdgeId from_outside, to_basket;
};

inline TraceSample MakeTraceSample() {
  TraceSample s;
  Topology& t = s.topology;
  const ServiceId front = *t.AddService("front", "shop");
  const ServiceId basket = *t.AddService(kHostileName, "shop");
  const NodeId node = *t.AddNode("node-7");
  const InstanceId instance = *t.AddInstance(front, "front-0", node);
  s.from_outside = *t.AddEdge(ServiceId(), front);
  s.to_basket = *t.AddEdge(front, basket);
  s.read_posts = *t.AddMethod(front, "ReadPosts");
  s.hostile_method = *t.AddMethod(basket, kHostileName);
  s.batch.origin = t.origin();
  s.batch.instance = instance;
  s.batch.sequence = 77;
  return s;
}

// A request with all five stamps, and the call that it makes.
inline Span ServerSpan(const TraceSample& s, std::uint64_t id = 0xa1) {
  Span span;
  span.SetIds({0x0102030405060708, 0x090a0b0c0d0e0f10}, id, 0xb0);
  span.set_method(s.read_posts);
  span.set_edge(s.from_outside);
  span.set_outcome(Outcome::kOk);
  span.SetStamps(SpanSide::kServer, {kStartNs, kStartNs + 1'500, kStartNs + 2'001,
                                     kStartNs + 900'000, kStartNs + 901'234});
  return span;
}
inline Span ClientSpan(const TraceSample& s, std::uint64_t id = 0xc1) {
  Span span;
  span.SetIds({0x0102030405060708, 0x090a0b0c0d0e0f10}, id, 0xa1);
  span.set_method(s.hostile_method);
  span.set_edge(s.to_basket);
  span.set_outcome(Outcome::kTimedOut);
  span.SetStamps(SpanSide::kClient, {kStartNs + 3'000, kStartNs + 3'700, std::nullopt,
                                     kStartNs + 800'000, std::nullopt});
  return span;
}

// Each side, with each outcome, each set of known stamps and each kind of id; some of it hostile.
inline SpanBatch SpansOfAllKinds(const TraceSample& s) {
  SpanBatch batch = s.batch;
  const MethodId methods[] = {s.read_posts, s.hostile_method, MethodId(99), MethodId()};
  const EdgeId edges[] = {s.from_outside, s.to_basket, EdgeId(1234567), EdgeId()};
  std::uint64_t n = 0;
  for (SpanSide side : {SpanSide::kServer, SpanSide::kClient}) {
    for (int outcome = 0; outcome <= 6; ++outcome) {
      for (unsigned known = 0; known < 32; ++known) {
        if (side == SpanSide::kClient && known >= 16) continue;
        ++n;
        Span span;
        span.SetIds({n % 3 == 0 ? 0 : ~n, n + 1}, n << 32, n % 4 == 0 ? 0 : n);
        span.set_method(methods[n % 4]);
        span.set_edge(edges[n / 4 % 4]);
        span.set_outcome(static_cast<Outcome>(outcome));
        Span::Stamps stamps;
        // Some spans last for hours: their stamps are coarser.
        const std::int64_t step = n % 5 == 0 ? 3'000'000'000'001 : 1'001;
        for (std::size_t i = 0; i < Span::kStamps; ++i) {
          if ((known >> i & 1) != 0) stamps[i] = kStartNs + static_cast<std::int64_t>(n + i) * step;
        }
        span.SetStamps(side, stamps);
        batch.spans.push_back(span);
      }
    }
  }
  return batch;
}

// Bytes that claim to be spans, whatever they say.
inline SpanBatch HostileSpans(const TraceSample& s) {
  SpanBatch batch = s.batch;
  std::uint64_t random = 1;
  for (int n = 0; n < 2000; ++n) {
    std::uint64_t words[8];
    for (std::uint64_t& word : words) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      word = random >> 3 | random << 61;
    }
    Span span;
    static_assert(sizeof(words) == sizeof(span));
    std::memcpy(static_cast<void*>(&span), words, sizeof(span));
    batch.spans.push_back(span);
  }
  return batch;
}

}  // namespace seer::testing
