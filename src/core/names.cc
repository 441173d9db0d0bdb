// The names of every enumeration that people or files see, in one place and one spelling.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "seer/core/action_taken.h"
#include "seer/core/channel.h"
#include "seer/core/diagnosis.h"
#include "seer/core/hw_reading.h"
#include "seer/core/recommendation.h"
#include "seer/core/snapshot.h"

SEER_BEGIN_NAMESPACE

namespace {

template <std::size_t N>
using Names = std::array<std::string_view, N>;

// "?" for a value outside the enumeration, such as one read from a newer version's bytes.
template <typename Enum, std::size_t N>
std::string_view NameOf(const Names<N>& names, Enum value) {
  const auto i = static_cast<std::size_t>(value);
  return i < N ? names[i] : "?";
}

template <typename Enum, std::size_t N>
std::optional<Enum> FromName(const Names<N>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

constexpr Names<kChannels> kChannelNames = {"nic",     "accept",  "socket", "queued",
                                            "running", "blocked", "send"};
constexpr Names<kChannels> kChannelUnits = {"packets",  "connections", "connections", "requests",
                                            "requests", "requests",    "connections"};
constexpr Names<kMissings> kMissingNames = {"not-missing", "no-probe", "no-permission",
                                            "not-supported", "failed"};
constexpr Names<kResources> kResourceNames = {
    "cpu", "cache", "memory-bandwidth", "memory-capacity", "network", "storage"};
constexpr Names<kQualities> kQualityNames = {"unavailable", "suspect", "scaled", "ok"};
constexpr Names<kReasons> kReasonNames = {
    "none",      "not-observed", "permission",  "not-found",   "not-supported", "vanished",
    "malformed", "self-test",    "implausible", "multiplexed", "failed"};
constexpr Names<kScopes> kScopeNames = {"process", "cgroup", "host"};
constexpr Names<kCauses> kCauseNames = {
    "cpu",         "cache", "memory-bandwidth", "memory-capacity", "network", "storage",
    "application", "load",  "undecided"};
constexpr Names<kActions> kActionNames = {
    "cpu-limit",     "memory-limit", "cache-partition", "memory-bandwidth-share",
    "network-share", "io-share",     "replicas",        "pool-size",
    "rate-limit",    "report"};
constexpr Names<kActions> kActionUnits = {"cores",   "bytes",     "ways",  "percent",    "bytes/s",
                                          "bytes/s", "instances", "slots", "requests/s", ""};
constexpr Names<kActionOutcomes> kActionOutcomeNames = {"applied", "unchanged", "refused", "failed",
                                                        "undone",  "expired",   "shadow"};

}  // namespace

std::string_view ChannelName(Channel channel) { return NameOf(kChannelNames, channel); }
std::string_view ChannelUnit(Channel channel) { return NameOf(kChannelUnits, channel); }
std::optional<Channel> ChannelFromName(std::string_view name) {
  return FromName<Channel>(kChannelNames, name);
}
std::string_view MissingName(Missing missing) { return NameOf(kMissingNames, missing); }

std::string_view ResourceName(Resource resource) { return NameOf(kResourceNames, resource); }
std::optional<Resource> ResourceFromName(std::string_view name) {
  return FromName<Resource>(kResourceNames, name);
}
std::string_view QualityName(Quality quality) { return NameOf(kQualityNames, quality); }
std::string_view ReasonName(Reason reason) { return NameOf(kReasonNames, reason); }
std::string_view ScopeName(Scope scope) { return NameOf(kScopeNames, scope); }

std::string_view CauseName(Cause cause) { return NameOf(kCauseNames, cause); }
std::optional<Cause> CauseFromName(std::string_view name) {
  return FromName<Cause>(kCauseNames, name);
}

std::string_view ActionName(Action action) { return NameOf(kActionNames, action); }
std::string_view ActionUnit(Action action) { return NameOf(kActionUnits, action); }
std::optional<Action> ActionFromName(std::string_view name) {
  return FromName<Action>(kActionNames, name);
}
std::string_view ActionOutcomeName(ActionOutcome outcome) {
  return NameOf(kActionOutcomeNames, outcome);
}

SEER_END_NAMESPACE
