#include "window/window_inputs.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using Kind = WindowInput::Kind;

constexpr std::pair<Kind, std::string_view> kOfChannel[] = {{Kind::kDepth, "depth"},
                                                            {Kind::kArrivals, "arrivals"},
                                                            {Kind::kDepartures, "departures"},
                                                            {Kind::kMeanWait, "wait"}};
constexpr std::pair<Kind, std::string_view> kOfService[] = {{Kind::kOutstanding, "outstanding"},
                                                            {Kind::kSelf, "self"},
                                                            {Kind::kOutbound, "outbound"},
                                                            {Kind::kCallsMade, "calls"}};
constexpr std::string_view kDelta = "delta ";

}  // namespace

std::string WindowInputName(const WindowInput& input) {
  std::string name(input.delta ? kDelta : std::string_view());
  for (const auto& [kind, word] : kOfChannel) {
    if (kind != input.kind) continue;
    absl::StrAppend(&name, internal::ToAbsl(word), "(",
                    internal::ToAbsl(ChannelName(input.channel)), ")");
  }
  for (const auto& [kind, word] : kOfService) {
    if (kind == input.kind) name += word;
  }
  return name;
}

absl::StatusOr<WindowInput> WindowInputFromName(std::string_view name) {
  WindowInput input;
  std::string_view rest = name;
  if (rest.substr(0, kDelta.size()) == kDelta) {
    input.delta = true;
    rest.remove_prefix(kDelta.size());
  }
  for (const auto& [kind, word] : kOfService) {
    if (rest != word) continue;
    input.kind = kind;
    return input;
  }
  for (const auto& [kind, word] : kOfChannel) {
    if (rest.size() < word.size() + 2 || rest.substr(0, word.size()) != word ||
        rest[word.size()] != '(' || rest.back() != ')') {
      continue;
    }
    const auto channel =
        ChannelFromName(rest.substr(word.size() + 1, rest.size() - word.size() - 2));
    if (!channel) continue;
    input.kind = kind;
    input.channel = *channel;
    return input;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("window input '", internal::ToAbsl(name.substr(0, 100)),
                   "' is not known: use depth, arrivals, departures or wait of a channel, as "
                   "\"depth(queued)\", or outstanding, self, outbound, calls; \"delta \" before"));
}

WindowInputs::WindowInputs(absl::Span<const WindowInput> inputs) {
  for (WindowInput input : inputs) {
    if (static_cast<std::size_t>(input.channel) >= kChannels || input.kind > Kind::kCallsMade) {
      continue;
    }
    if (input.kind >= Kind::kOutstanding) input.channel = Channel::kQueued;
    if (list_.size() >= kMaxInputs) break;
    if (std::find(list_.begin(), list_.end(), input) == list_.end()) list_.push_back(input);
  }
}

WindowInputs WindowInputs::Of(ChannelMask channels, bool deltas) {
  std::vector<WindowInput> inputs;
  for (const Channel channel : kAllChannels) {
    if (channels.Has(channel)) inputs.push_back({Kind::kDepth, channel});
  }
  if (channels.Has(Channel::kQueued)) inputs.push_back({Kind::kArrivals, Channel::kQueued});
  if (channels.Has(Channel::kRunning)) {
    for (const Kind kind : {Kind::kOutstanding, Kind::kSelf, Kind::kOutbound}) {
      inputs.push_back({kind});
    }
  }
  const std::size_t plain = inputs.size();
  for (std::size_t i = 0; deltas && i < plain; ++i) {
    inputs.push_back({inputs[i].kind, inputs[i].channel, true});
  }
  return WindowInputs(inputs);
}

WindowInputs WindowInputs::OfTraces(bool deltas) {
  std::vector<WindowInput> inputs = {{Kind::kOutstanding},
                                     {Kind::kSelf},
                                     {Kind::kOutbound},
                                     {Kind::kDepth, Channel::kRunning},
                                     {Kind::kDepth, Channel::kBlocked}};
  const std::size_t plain = inputs.size();
  for (std::size_t i = 0; deltas && i < plain; ++i) {
    inputs.push_back({inputs[i].kind, inputs[i].channel, true});
  }
  return WindowInputs(inputs);
}

namespace internal {
namespace {

// One column of the tick into one column of the table.
struct Column {
  absl::Span<float> values;
  absl::Span<std::uint8_t> seen;
  std::size_t services, inputs, input;

  void Set(std::size_t service, double value) const {
    values[service * inputs + input] = static_cast<float>(value);
    seen[service * inputs + input] = 1;
  }
};

void ReadChannel(const ServiceTable& table, const WindowInput& input, double per_second,
                 const Column& out) {
  const auto known = table.known(input.channel);
  const std::size_t services = std::min(out.services, known.size());
  switch (input.kind) {
    case Kind::kDepth: {
      const auto depths = table.depths(input.channel);
      const auto means = table.means(input.channel);
      for (std::size_t i = 0; i < services; ++i) {
        if (known[i] & ServiceTable::kDepth) {
          out.Set(i, depths[i]);
        } else if (known[i] & ServiceTable::kMean) {
          out.Set(i, means[i]);
        }
      }
      break;
    }
    case Kind::kArrivals:
    case Kind::kDepartures: {
      const auto flow = input.kind == Kind::kArrivals ? table.arrivals(input.channel)
                                                      : table.departures(input.channel);
      for (std::size_t i = 0; i < services; ++i) {
        if (known[i] & ServiceTable::kFlow) out.Set(i, flow[i] * per_second);
      }
      break;
    }
    default: {
      const auto waits = table.mean_waits_us(input.channel);
      for (std::size_t i = 0; i < services; ++i) {
        if (known[i] & ServiceTable::kMeanWait) out.Set(i, waits[i] / 1000.0);
      }
    }
  }
}

// Sums over the edges that leave a service: what is open, or calls made. Missing where an edge is,
// and where there is none.
void ReadOutbound(const ClusterTick& tick, const Topology& topology, bool made, double per_second,
                  std::vector<float>* sums, const Column& out) {
  constexpr float kMissing = -2, kNone = -1;
  sums->assign(topology.services().size(), kNone);
  const auto edges = topology.edges();
  const EdgeTickTable& table = tick.edges;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (edges[i].removed || !edges[i].caller.valid()) continue;
    float& sum = (*sums)[edges[i].caller.index()];
    const std::uint8_t known = i < table.known().size() ? table.known()[i] : std::uint8_t{0};
    float value = 0;
    if (made && (known & EdgeTickTable::kMade)) {
      value = static_cast<float>(table.made()[i] * per_second);
    } else if (!made && (known & EdgeTickTable::kDepth)) {
      value = table.depths()[i];
    } else if (!made && (known & EdgeTickTable::kMean)) {
      value = table.means()[i];
    } else {
      sum = kMissing;
    }
    if (sum != kMissing) sum = std::max(sum, 0.0f) + value;
  }
  for (std::size_t i = 0; i < out.services; ++i) {
    if ((*sums)[i] >= 0) out.Set(i, (*sums)[i]);
  }
}

}  // namespace

void ReadInputs(const ClusterTick& tick, const Topology& topology,
                absl::Span<const WindowInput> inputs, SelfDepthTable* self,
                std::vector<float>* scratch, std::vector<float>* values,
                std::vector<std::uint8_t>* seen) {
  const std::size_t services = topology.services().size();
  values->assign(services * inputs.size(), 0.0f);
  seen->assign(services * inputs.size(), 0);
  const double per_second = 1e9 / static_cast<double>(tick.period.ns());
  bool have_self = false;
  for (std::size_t c = 0; c < inputs.size(); ++c) {
    const Column out{absl::MakeSpan(*values), absl::MakeSpan(*seen), services, inputs.size(), c};
    const WindowInput& input = inputs[c];
    switch (input.kind) {
      case Kind::kDepth:
      case Kind::kArrivals:
      case Kind::kDepartures:
      case Kind::kMeanWait:
        ReadChannel(tick.services, input, per_second, out);
        break;
      case Kind::kOutstanding:
      case Kind::kSelf: {
        if (!have_self) SelfDepths(tick, topology, self);
        have_self = true;
        const bool is_self = input.kind == Kind::kSelf;
        const auto& from = is_self ? self->self : self->outstanding;
        const auto& from_seen = is_self ? self->self_seen : self->outstanding_seen;
        for (std::size_t i = 0; i < services; ++i) {
          if (from_seen[i] != 0) out.Set(i, from[i]);
        }
        break;
      }
      case Kind::kOutbound:
      case Kind::kCallsMade:
        ReadOutbound(tick, topology, input.kind == Kind::kCallsMade, per_second, scratch, out);
        break;
    }
  }
}

}  // namespace internal
SEER_END_NAMESPACE
