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

// What a station's messages waited at its own end, as the queueing discipline's delay and the
// retransmissions of its sockets would tell.
void Simulator::BookNetwork(std::uint32_t station, std::int64_t ns) {
  if (station == kNone || ns <= 0) return;
  hardware_[station].stall_ns[static_cast<std::size_t>(Resource::kNetwork)] +=
      static_cast<double>(ns);
}

// The moment of arrival, or -1: lost. `from` and `to` are servers, none = outside the cluster;
// `sender` and `receiver` the stations there, of which the first one's `send` depth the message may
// raise.
std::int64_t Simulator::Transmit(std::uint32_t from, std::uint32_t to, double bytes,
                                 std::uint64_t key, double drop_p, std::uint32_t sender,
                                 std::uint32_t receiver) {
  ++link_totals_.messages;
  // Replicas elsewhere have taken its requests over: the network of its server is not theirs.
  const bool away_from = sender != kNone && stations_[sender].elsewhere;
  const bool away_to = receiver != kNone && stations_[receiver].elsewhere;
  const double loss_from = from != kNone && !away_from ? servers_[from].loss : 0;
  double loss = drop_p + loss_from;
  if (to != kNone && to != from && !away_to) loss += servers_[to].loss;
  if (loss > 0) {
    const double dice = Uniform(Mix(key));
    if (dice < loss) {
      ++link_totals_.lost;
      // What a rule on the host drops no counter of the network tells.
      if (dice >= drop_p) BookNetwork(dice < drop_p + loss_from ? sender : receiver, kRtoNs);
      return -1;
    }
  }
  if (from == to) return now_ + kLoopbackNs;
  if (switch_down_) {
    ++link_totals_.lost;
    BookNetwork(sender, kRtoNs);
    BookNetwork(receiver, kRtoNs);
    return -1;
  }
  // Each FIFO is asked as of now, and the delays are added up: a message that waits for a slow link
  // must not hold up, at the next one, those that will be there before it.
  std::int64_t delay = model_->applications[0].message_ns;
  // `held`: beyond what it takes through an empty link of the usual rate.
  const auto pass = [&](Link* link, double size, double usual_ns_per_byte, std::int64_t* held) {
    const std::int64_t done = link->Pass(now_, size);
    if (done < 0) {
      *held += kRtoNs;
      return false;
    }
    delay += done - now_;
    *held += done - now_ - static_cast<std::int64_t>(size * usual_ns_per_byte);
    return true;
  };
  bool whole = true;
  std::int64_t held_from = 0, held_to = 0, held_between = 0;
  if (from != kNone) {
    Server& server = servers_[from];
    const bool own = away_from || (sender != kNone && stations_[sender].own_network);
    Link* const out = own ? &server.own_out : &server.out;
    whole = pass(out, bytes, server.ns_per_byte, &held_from);
    if (whole) {
      server.bytes_out += bytes;
      if (sender != kNone && out->free_at - now_ > kSeenUnsentNs) {
        server.unsent.push_back({out->free_at, sender});
      }
      const std::int64_t detour_ns = away_from ? 0 : server.detour_ns;
      delay += detour_ns;
      held_from += detour_ns;
    }
  }
  whole = whole && pass(&switch_, bytes, switch_.ns_per_byte, &held_between);
  if (whole && to != kNone) {
    Server& server = servers_[to];
    const bool own = away_to || (receiver != kNone && stations_[receiver].own_network);
    const std::int64_t detour_ns = away_to ? 0 : server.detour_ns;
    delay += detour_ns;
    held_to += detour_ns;
    if (server.incast > 0 && !own) {
      const std::int64_t behind = BehindBurst(to);
      whole = behind >= 0;
      delay += behind;
      held_to += whole ? behind : kRtoNs;
    }
    whole = whole &&
            pass(own ? &server.own_port : &server.port, bytes, server.ns_per_byte, &held_to) &&
            pass(&server.receive, bytes + server.receive_message_bytes, server.receive.ns_per_byte,
                 &held_to);
  }
  BookNetwork(sender, held_from);
  BookNetwork(receiver, held_to);
  if (!whole) {
    ++link_totals_.lost;
    return -1;
  }
  return now_ + delay;
}

}  // namespace seer::cluster
