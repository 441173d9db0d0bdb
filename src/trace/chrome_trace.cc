// The format: "Trace Event Format" of Chromium. "X" is a slice with a duration, "M" names processes
// and threads, "s" and "f" are the two ends of an arrow. Times are microseconds, here with three
// decimals.
#include "seer/trace/chrome_trace.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <queue>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "trace/span_facts.h"
#include "trace/text.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::AppendDecimal;
using internal::AppendHex;
using internal::AppendJsonString;

// A row of the picture, in order: an instance (0: none), and on which side it was.
struct Track {
  std::uint64_t process;
  SpanSide side;
  friend bool operator<(const Track& a, const Track& b) {
    return std::tie(a.process, a.side) < std::tie(b.process, b.side);
  }
};

struct Item {
  const Span* span;
  const SpanBatch* batch;
  std::int64_t start_ns;
  std::int64_t end_ns;
  std::size_t order;  // in which they came: the same batches make the same file
  std::uint32_t lane;
};

constexpr std::array<std::string_view, 4> kServerStages = {"queued", "decode", "handler", "reply"};
constexpr std::array<std::string_view, 3> kClientStages = {"send", "wait", "receive"};
// Of the stage that ends with stamp i.
std::string_view StageName(SpanSide side, std::size_t i) {
  return side == SpanSide::kServer ? kServerStages[i - 1] : kClientStages[i - 1];
}

// Threads of a process are numbered: the lanes of its server side, then those of its client side.
std::uint64_t ThreadOf(SpanSide side, std::uint32_t lane) {
  constexpr std::uint64_t kFirstClient = 1'000'000;
  return (side == SpanSide::kServer ? 1 : kFirstClient) + lane;
}

std::int64_t Plus(std::int64_t a, std::int64_t b) {  // of hostile stamps: stays within the range
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

// Gives each item the lowest lane in which nothing else is open. Returns how many there are.
std::uint32_t AssignLanes(std::vector<Item>* items) {
  std::sort(items->begin(), items->end(), [](const Item& a, const Item& b) {
    return std::tie(a.start_ns, a.order) < std::tie(b.start_ns, b.order);
  });
  using EndAndLane = std::pair<std::int64_t, std::uint32_t>;
  std::priority_queue<EndAndLane, std::vector<EndAndLane>, std::greater<>> busy;
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> free;
  std::uint32_t lanes = 0;
  for (Item& item : *items) {
    while (!busy.empty() && busy.top().first <= item.start_ns) {
      free.push(busy.top().second);
      busy.pop();
    }
    if (free.empty()) {
      item.lane = lanes++;
    } else {
      item.lane = free.top();
      free.pop();
    }
    // A slice of no length still takes its place: two of them at one moment are not nested.
    busy.emplace(std::max(item.end_ns, Plus(item.start_ns, 1)), item.lane);
  }
  return lanes;
}

class Writer {
 public:
  Writer(const Topology& topology, std::int64_t origin_ns, std::string* json)
      : topology_(topology), origin_ns_(origin_ns), json_(json) {}

  void Metadata(std::string_view what, const Track& track, std::uint64_t thread,
                std::string_view name) {
    Begin("M", what, track, thread);
    json_->append(",\"args\":{\"name\":");
    AppendJsonString(name, json_);
    json_->append("}}");
  }

  void Request(const Track& track, const Item& item,
               const std::unordered_set<std::uint64_t>& calls) {
    const Span& span = *item.span;
    internal::Namer namer(*item.batch, topology_);
    const internal::SpanFacts facts = namer.Of(span);
    const std::uint64_t thread = ThreadOf(track.side, item.lane);
    Begin("X", facts.name, track, thread);
    Times(item.start_ns, item.end_ns);
    Arguments(span, facts);
    json_->push_back('}');

    std::optional<std::int64_t> before;
    for (std::size_t i = 0; i < internal::StampsOf(span.side()); ++i) {
      const auto stamp = span.stamp(i);
      if (!stamp) continue;
      if (before && *stamp > *before) {
        Begin("X", StageName(span.side(), i), track, thread);
        Times(*before, *stamp);
        json_->push_back('}');
      }
      before = stamp;
    }

    if (span.side() == SpanSide::kClient) {
      Arrow("s", span.span_id(), track, thread, item.start_ns);
    } else if (calls.count(span.parent_id()) > 0) {
      Arrow("f", span.parent_id(), track, thread, item.start_ns);
    }
  }

 private:
  void Begin(std::string_view phase, std::string_view name, const Track& track,
             std::uint64_t thread) {
    if (json_->back() != '[') json_->append(",\n");
    json_->append("{\"ph\":\"").append(phase).append("\",\"name\":");
    AppendJsonString(name, json_);
    json_->append(",\"cat\":\"seer\",\"pid\":");
    AppendDecimal(track.process, json_);
    json_->append(",\"tid\":");
    AppendDecimal(thread, json_);
  }

  void Microseconds(std::string_view key, std::int64_t from_ns, std::int64_t to_ns) {
    // Unsigned: stamps of a hostile batch may lie centuries apart.
    const std::uint64_t ns =
        static_cast<std::uint64_t>(to_ns) - static_cast<std::uint64_t>(from_ns);
    json_->append(",\"").append(key).append("\":");
    AppendDecimal(ns / 1000, json_);
    const auto rest = static_cast<unsigned>(ns % 1000);
    const char decimals[4] = {'.', static_cast<char>('0' + rest / 100),
                              static_cast<char>('0' + rest / 10 % 10),
                              static_cast<char>('0' + rest % 10)};
    json_->append(decimals, sizeof(decimals));
  }
  void Times(std::int64_t start_ns, std::int64_t end_ns) {
    Microseconds("ts", origin_ns_, start_ns);
    Microseconds("dur", start_ns, end_ns);
  }

  void Arguments(const Span& span, const internal::SpanFacts& facts) {
    json_->append(",\"args\":{\"trace_id\":\"");
    AppendHex(span.trace_id().high, json_);
    AppendHex(span.trace_id().low, json_);
    json_->append("\",\"span_id\":\"");
    AppendHex(span.span_id(), json_);
    if (span.parent_id() != 0) {
      json_->append("\",\"parent_id\":\"");
      AppendHex(span.parent_id(), json_);
    }
    json_->append("\",\"").append(internal::kOutcomeKey).append("\":\"");
    json_->append(internal::OutcomeName(span.outcome())).push_back('"');
    if (!facts.peer.empty()) {
      json_->append(",\"").append(internal::kPeerServiceKey).append("\":");
      AppendJsonString(facts.peer, json_);
    }
    if (facts.edge_id) {
      json_->append(",\"").append(internal::kEdgeIdKey).append("\":");
      AppendDecimal(*facts.edge_id, json_);
    }
    for (std::size_t i = 0; i < internal::StampsOf(span.side()); ++i) {
      const auto stamp = span.stamp(i);
      if (!stamp) continue;
      // As text: a number of this size would be rounded to 256 ns.
      json_->append(",\"").append(internal::StampName(span.side(), i)).append("\":\"");
      AppendDecimal(*stamp, json_);
      json_->push_back('"');
    }
    json_->push_back('}');
  }

  // From the beginning of a call to the beginning of where it was served.
  void Arrow(std::string_view phase, std::uint64_t call, const Track& track, std::uint64_t thread,
             std::int64_t at_ns) {
    Begin(phase, "call", track, thread);
    Microseconds("ts", origin_ns_, at_ns);
    json_->append(",\"id\":\"");
    AppendHex(call, json_);
    json_->append(phase == "f" ? "\",\"bp\":\"e\"}" : "\"}");
  }

  const Topology& topology_;
  const std::int64_t origin_ns_;
  std::string* const json_;
};

}  // namespace

void EncodeChromeTraceTo(absl::Span<const SpanBatch> batches, const Topology& topology,
                         std::string* json) {
  std::map<Track, std::vector<Item>> tracks;
  std::unordered_set<std::uint64_t> calls;
  std::int64_t origin_ns = std::numeric_limits<std::int64_t>::max();
  for (const SpanBatch& batch : batches) {
    const std::uint64_t process = batch.instance.valid() ? batch.instance.value() + 1u : 0u;
    for (const Span& span : batch.spans) {
      bool known = false;
      for (std::size_t i = 0; i < internal::StampsOf(span.side()); ++i) {
        known = known || span.stamp(i).has_value();
      }
      if (!known) continue;
      const std::int64_t start_ns = span.start_ns();
      std::vector<Item>& items = tracks[{process, span.side()}];
      items.push_back(
          {&span, &batch, start_ns, Plus(start_ns, span.duration_ns()), items.size(), 0});
      origin_ns = std::min(origin_ns, start_ns);
      if (span.side() == SpanSide::kClient) calls.insert(span.span_id());
    }
  }

  if (tracks.empty()) origin_ns = 0;
  json->assign("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"start_unix_ns\":\"");
  AppendDecimal(origin_ns, json);
  json->append("\"},\"traceEvents\":[");
  Writer writer(topology, origin_ns, json);
  for (auto& [track, items] : tracks) {
    const std::uint32_t lanes = AssignLanes(&items);
    const internal::BatchFacts facts = internal::Namer(*items.front().batch, topology).Batch();
    std::string name = facts.service;
    if (!facts.instance.empty()) name.append(" / ").append(facts.instance);
    writer.Metadata("process_name", track, 0, name);
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
      writer.Metadata("thread_name", track, ThreadOf(track.side, lane),
                      track.side == SpanSide::kServer ? "served" : "called");
    }
    for (const Item& item : items) writer.Request(track, item, calls);
  }
  json->append("]}\n");
}

std::string EncodeChromeTrace(absl::Span<const SpanBatch> batches, const Topology& topology) {
  std::string json;
  EncodeChromeTraceTo(batches, topology, &json);
  return json;
}

SEER_END_NAMESPACE
