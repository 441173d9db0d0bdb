// Messages: when they arrive, or that they are lost.
#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

constexpr double kReceiveNsPerMessage = 300;  // softirq, on one core of the receiver
constexpr std::int64_t kLoopbackNs = 10'000;
// A message that waits longer than this in its NIC shows as unsent.
constexpr std::int64_t kSeenUnsentNs = 50'000;

}  // namespace

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
    const double message_bytes = kReceiveNsPerMessage / server.receive.ns_per_byte;
    whole = pass(&server.port, bytes) && pass(&server.receive, bytes + message_bytes);
  }
  if (!whole) {
    ++link_totals_.lost;
    return -1;
  }
  return now_ + delay;
}

}  // namespace seer::cluster
