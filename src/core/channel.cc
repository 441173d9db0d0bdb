#include "seer/core/channel.h"

SEER_BEGIN_NAMESPACE

namespace {

struct ChannelText {
  std::string_view name;
  std::string_view unit;
};

constexpr ChannelText kText[kChannels] = {
    {"nic", "packets"},      {"accept", "connections"}, {"socket", "connections"},
    {"queued", "requests"},  {"running", "requests"},   {"blocked", "requests"},
    {"send", "connections"},
};

}  // namespace

std::string_view ChannelName(Channel channel) {
  const auto i = static_cast<std::size_t>(channel);
  return i < kChannels ? kText[i].name : "?";
}

std::string_view ChannelUnit(Channel channel) {
  const auto i = static_cast<std::size_t>(channel);
  return i < kChannels ? kText[i].unit : "?";
}

std::optional<Channel> ChannelFromName(std::string_view name) {
  for (Channel channel : kAllChannels) {
    if (ChannelName(channel) == name) return channel;
  }
  return std::nullopt;
}

SEER_END_NAMESPACE
