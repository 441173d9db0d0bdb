#include "window/host_skews.h"

#include <algorithm>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::uint32_t kBlock = 256;

}  // namespace

void HostSkews::Bounds::Add(std::int64_t low, std::int64_t high) {
  low_ns = std::max(low_ns, low);
  high_ns = std::min(high_ns, high);
  ++calls;
}

void HostSkews::Observe(const SpanInterval& client, const SpanInterval& server) {
  if (!client.host.valid() || !server.host.valid() || client.host == server.host) return;
  // Who does not wait, or gave up waiting, does not enclose what it called.
  if (client.async || (client.outcome != Outcome::kOk && client.outcome != Outcome::kUnknown)) {
    return;
  }
  const auto key = std::make_pair(client.host.value(), server.host.value());
  auto found = pairs_.find(key);
  if (found == pairs_.end()) {
    if (pairs_.size() >= max_pairs_) return;
    found = pairs_.emplace(key, Pair()).first;
  }
  Pair& pair = found->second;
  const std::int64_t low_ns = server.end_ns - client.end_ns;
  const std::int64_t high_ns = server.start_ns - client.start_ns;
  if (low_ns > high_ns) {
    ++pair.impossible;
    return;
  }
  if (pair.now.calls >= kBlock) {
    pair.before = pair.now;
    pair.now = Bounds();
  }
  pair.now.Add(low_ns, high_ns);
  ++pair.calls;
}

HostSkew HostSkews::Estimate(NodeId client, NodeId server, const Pair& pair) {
  HostSkew skew;
  skew.client = client;
  skew.server = server;
  skew.calls = pair.calls;
  skew.impossible = pair.impossible;
  if (pair.calls == 0) return skew;
  std::int64_t low_ns = std::max(pair.now.low_ns, pair.before.low_ns);
  std::int64_t high_ns = std::min(pair.now.high_ns, pair.before.high_ns);
  if (low_ns > high_ns) {  // the clocks drift: what is newer holds
    low_ns = pair.now.low_ns;
    high_ns = pair.now.high_ns;
  }
  skew.ahead_ns = low_ns / 2 + high_ns / 2;
  skew.error_ns = low_ns > high_ns ? low_ns / 2 - high_ns / 2 : high_ns / 2 - low_ns / 2;
  return skew;
}

std::optional<HostSkew> HostSkews::Of(NodeId client, NodeId server) const {
  const auto found = pairs_.find({client.value(), server.value()});
  if (found == pairs_.end() || found->second.calls == 0) return std::nullopt;
  return Estimate(client, server, found->second);
}

std::vector<HostSkew> HostSkews::All() const {
  std::vector<HostSkew> all;
  for (const auto& [key, pair] : pairs_) {
    all.push_back(Estimate(NodeId(key.first), NodeId(key.second), pair));
  }
  return all;
}

}  // namespace internal
SEER_END_NAMESPACE
