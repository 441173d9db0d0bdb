// Flow: (every stage) the channels of an instance: the places where a request can wait
//
// From the wire inwards. Each channel counts in its own unit; channels are never added up.
//
//   nic      packets waiting in the network card's queues. A hardware queue that several services
//            share enters each of them as its aggregate, flagged shared.
//   accept   connections not yet accepted
//   socket   connections with unread data: the epoll-ready set (bytes beside it)
//   queued   requests that wait for a worker
//   running  requests in the handler
//   blocked  of those running: requests with a synchronous downstream call open
//   send     connections with unsent data (bytes beside it)
//
// A further depth lives on edges, not on instances: `outbound`, the calls of one caller that one
// callee has not answered (snapshot.h).
//
// What no probe sees is missing, never zero: a ChannelMask says which channels were seen. Three
// masks reproduce the ablations of the paper's section 5.2.
//
// Threads: plain values. Cost: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

enum class Channel : std::uint8_t { kNic, kAccept, kSocket, kQueued, kRunning, kBlocked, kSend };

inline constexpr std::size_t kChannels = 7;
inline constexpr Channel kAllChannels[kChannels] = {
    Channel::kNic,     Channel::kAccept,  Channel::kSocket, Channel::kQueued,
    Channel::kRunning, Channel::kBlocked, Channel::kSend};

// "nic", "accept", ...; "?" for a value outside the enum.
std::string_view ChannelName(Channel channel);
// "packets", "connections" or "requests".
std::string_view ChannelUnit(Channel channel);
std::optional<Channel> ChannelFromName(std::string_view name);

// A set of channels.
class ChannelMask {
 public:
  constexpr ChannelMask() = default;  // empty
  constexpr explicit ChannelMask(std::uint8_t bits) : bits_(bits) {}
  template <typename... Channels>
  static constexpr ChannelMask Of(Channels... channels) {
    return ChannelMask(static_cast<std::uint8_t>((0u | ... | Bit(channels))));
  }

  static constexpr ChannelMask All() { return ChannelMask((1u << kChannels) - 1); }
  static constexpr ChannelMask NicOnly() { return Of(Channel::kNic); }
  // What the kernel tells about any process, without a change in the application.
  static constexpr ChannelMask KernelOnly() {
    return Of(Channel::kNic, Channel::kAccept, Channel::kSocket, Channel::kSend);
  }
  // What instrumentation inside the application tells.
  static constexpr ChannelMask AppOnly() {
    return Of(Channel::kQueued, Channel::kRunning, Channel::kBlocked);
  }

  constexpr bool Has(Channel channel) const { return (bits_ & Bit(channel)) != 0; }
  constexpr void Add(Channel channel) { bits_ = static_cast<std::uint8_t>(bits_ | Bit(channel)); }
  constexpr void Remove(Channel channel) {
    bits_ = static_cast<std::uint8_t>(bits_ & ~Bit(channel));
  }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr std::uint8_t bits() const { return bits_; }

  friend constexpr ChannelMask operator&(ChannelMask a, ChannelMask b) {
    return ChannelMask(static_cast<std::uint8_t>(a.bits_ & b.bits_));
  }
  friend constexpr ChannelMask operator|(ChannelMask a, ChannelMask b) {
    return ChannelMask(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  friend constexpr bool operator==(ChannelMask a, ChannelMask b) { return a.bits_ == b.bits_; }
  friend constexpr bool operator!=(ChannelMask a, ChannelMask b) { return a.bits_ != b.bits_; }

 private:
  static constexpr unsigned Bit(Channel channel) { return 1u << static_cast<unsigned>(channel); }
  std::uint8_t bits_ = 0;
};

SEER_END_NAMESPACE
