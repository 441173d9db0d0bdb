// Messages: when they arrive, or that they are lost.
#include <algorithm>

#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kLoopbackNs = 10'000;
constexpr std::int64_t kBurstNs = 20'000'000;
// A message that waits longer than this in its NIC shows as unsent.
constexpr std::int64_t kSeenUnsentNs = 50'000;

}  // namespace

// What bursts of many senders at once (incast) leave of the buffer of a server's port: how long a
// message waits behind them, or -1 where it finds no room. One burst in each kBurstNs, at a drawn
// moment: it fills the buffer at once, keeps it full for its part of the time, and drains.
std::int64_t Simulator::BehindBurst(std::uint32_t server) const {
  const Server& to = servers_[server];
  const std::int64_t burst = now_ / kBurstNs;
  const auto full = static_cast<std::int64_t>(to.incast * kBurstNs);
  const auto drain = static_cast<std::int64_t>(to.port.buffer_bytes * to.port.ns_per_byte);
  const std::uint64_t key = Sub(Sub(options_.seed ^ salt_, KeyOf("incast")), server);
  const double spare = static_cast<double>(std::max<std::int64_t>(0, kBurstNs - full - drain));
  const auto begin =
      static_cast<std::int64_t>(Uniform(Sub(key, static_cast<std::uint64_t>(burst))) * spare);
  const std::int64_t in = now_ - burst * kBurstNs - begin;
  if (in < 0 || in >= full + drain) return 0;
  return in < full ? -1 : full + drain - in;
}

// The moment of arrival, or -1: lost. `from` and `to` are servers, none = outside the cluster;
// `station` is the sender's, whose `send` depth the message may raise.
std::int64_t Simulator::Transmit(std::uint32_t from, std::uint32_t to, double bytes,
                                 std::uint64_t key, double drop_p, std::uint32_t station) {
  ++link_totals_.messages;
  double loss = drop_p;
  if (from != kNone) loss += servers_[from].loss;
  if (to != kNone && to != from) loss += servers_[to].loss;
  if (loss > 0 && Uniform(Mix(key)) < loss) {
    ++link_totals_.lost;
    return -1;
  }
  if (from == to) return now_ + kLoopbackNs;
  if (switch_down_) {
    ++link_totals_.lost;
    return -1;
  }
  // Each FIFO is asked as of now, and the delays are added up: a message that waits for a slow link
  // must not hold up, at the next one, those that will be there before it.
  std::int64_t delay = model_->applications[0].message_ns;
  const auto pass = [&](Link* link, double size) {
    const std::int64_t done = link->Pass(now_, size);
    delay += done - now_;
    return done >= 0;
  };
  bool whole = true;
  if (from != kNone) {
    Server& server = servers_[from];
    whole = pass(&server.out, bytes);
    if (whole) {
      server.bytes_out += bytes;
      if (station != kNone && server.out.free_at - now_ > kSeenUnsentNs) {
        server.unsent.push_back({server.out.free_at, station});
      }
      delay += server.detour_ns;
    }
  }
  whole = whole && pass(&switch_, bytes);
  if (whole && to != kNone) {
    Server& server = servers_[to];
    delay += server.detour_ns;
    if (server.incast > 0) {
      const std::int64_t behind = BehindBurst(to);
      whole = behind >= 0;
      delay += behind;
    }
    whole = whole && pass(&server.port, bytes) &&
            pass(&server.receive, bytes + server.receive_message_bytes);
  }
  if (!whole) {
    ++link_totals_.lost;
    return -1;
  }
  return now_ + delay;
}

}  // namespace seer::cluster
