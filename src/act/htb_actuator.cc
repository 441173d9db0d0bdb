#include "seer/act/htb_actuator.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "act/directory.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::OwnedFd;
using internal::StatusOfErrno;

constexpr std::size_t kBufferBytes = 32768;  // the kernel's datagrams of a dump are no larger
constexpr int kMaxDatagrams = 4096;
constexpr std::uint64_t kMaxRate = std::uint64_t{1} << 50;

// A class as the kernel has it.
struct ClassState {
  std::uint32_t parent = 0;
  tc_htb_opt options = {};
  std::uint64_t rate = 0;
  std::uint64_t ceiling = 0;
};

std::string FormatState(const ClassState& state) {
  return absl::StrCat("rate=", state.rate, " ceil=", state.ceiling, " burst=", state.options.buffer,
                      " cburst=", state.options.cbuffer, " quantum=", state.options.quantum,
                      " prio=", state.options.prio);
}

// Into what the kernel has now: the rest of it stays.
bool ParseState(std::string_view text, ClassState* state) {
  std::uint64_t values[6];
  static constexpr std::string_view kKeys[6] = {
      "rate=", "ceil=", "burst=", "cburst=", "quantum=", "prio="};
  const std::vector<absl::string_view> words = absl::StrSplit(internal::ToAbsl(text), ' ');
  if (words.size() != 6) return false;
  for (std::size_t i = 0; i < 6; ++i) {
    std::string_view word = internal::ToStd(words[i]);
    if (word.substr(0, kKeys[i].size()) != kKeys[i]) return false;
    word.remove_prefix(kKeys[i].size());
    const auto result = std::from_chars(word.data(), word.data() + word.size(), values[i]);
    if (word.empty() || result.ec != std::errc() || result.ptr != word.data() + word.size() ||
        values[i] > (i < 2 ? kMaxRate : 0xffffffffu)) {
      return false;
    }
  }
  state->rate = values[0];
  state->ceiling = values[1];
  state->options.buffer = static_cast<std::uint32_t>(values[2]);
  state->options.cbuffer = static_cast<std::uint32_t>(values[3]);
  state->options.quantum = static_cast<std::uint32_t>(values[4]);
  state->options.prio = static_cast<std::uint32_t>(values[5]);
  return true;
}

template <typename Value>
bool Load(std::string_view bytes, Value* value) {
  if (bytes.size() < sizeof(Value)) return false;
  std::memcpy(value, bytes.data(), sizeof(Value));
  return true;
}

// The payload of the first attribute of a type.
std::optional<std::string_view> FindAttribute(std::string_view attributes, std::uint16_t type) {
  rtattr header;
  // Each turn takes at least a header's bytes.
  while (Load(attributes, &header)) {
    if (header.rta_len < sizeof(header) || header.rta_len > attributes.size()) return std::nullopt;
    if ((header.rta_type & NLA_TYPE_MASK) == type) {
      return attributes.substr(sizeof(header), header.rta_len - sizeof(header));
    }
    attributes.remove_prefix(std::min<std::size_t>(RTA_ALIGN(header.rta_len), attributes.size()));
  }
  return std::nullopt;
}

// None: another class, or none of HTB.
std::optional<ClassState> ParseClass(std::string_view payload, std::uint32_t handle) {
  tcmsg message;
  if (!Load(payload, &message) || message.tcm_handle != handle) return std::nullopt;
  const std::string_view attributes =
      payload.substr(std::min<std::size_t>(NLMSG_ALIGN(sizeof(message)), payload.size()));
  const auto kind = FindAttribute(attributes, TCA_KIND);
  const auto options = FindAttribute(attributes, TCA_OPTIONS);
  if (!kind || kind->substr(0, 4) != std::string_view("htb", 4) || !options) return std::nullopt;
  ClassState state;
  state.parent = message.tcm_parent;
  const auto parameters = FindAttribute(*options, TCA_HTB_PARMS);
  if (!parameters || !Load(*parameters, &state.options)) return std::nullopt;
  state.rate = state.options.rate.rate;
  state.ceiling = state.options.ceil.rate;
  if (const auto rate = FindAttribute(*options, TCA_HTB_RATE64)) (void)Load(*rate, &state.rate);
  if (const auto ceil = FindAttribute(*options, TCA_HTB_CEIL64)) (void)Load(*ceil, &state.ceiling);
  return state;
}

class Request {
 public:
  Request(std::uint16_t type, std::uint16_t flags) {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    Append(&header_, sizeof(header_));
  }
  void Append(const void* data, std::size_t bytes) {
    bytes_.append(static_cast<const char*>(data), bytes);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  std::size_t Begin(std::uint16_t type) {
    const std::size_t at = bytes_.size();
    rtattr header = {};
    header.rta_type = type;
    Append(&header, sizeof(header));
    return at;
  }
  // Attributes here have whole words only.
  void End(std::size_t at) {
    rtattr header;
    std::memcpy(&header, bytes_.data() + at, sizeof(header));
    header.rta_len = static_cast<std::uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &header, sizeof(header));
  }
  void Attribute(std::uint16_t type, const void* data, std::size_t bytes) {
    const std::size_t at = Begin(type);
    Append(data, bytes);
    End(at);
  }
  const std::string& Finish(std::uint32_t sequence) {
    header_.nlmsg_seq = sequence;
    header_.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &header_, sizeof(header_));
    return bytes_;
  }

 private:
  nlmsghdr header_ = {};
  std::string bytes_;
};

// A knob: "<device>|<major>:<minor>", in hexadecimal as tc writes it.
class HtbActuator final : public Actuator {
 public:
  HtbActuator(HtbOptions options, OwnedFd socket)
      : options_(std::move(options)), socket_(std::move(socket)), buffer_(kBufferBytes) {}

  std::string_view name() const override { return "htb"; }
  bool Can(Action action) const override { return action == Action::kNetworkShare; }

  absl::StatusOr<ActionPlan> Plan(const Recommendation& r) override {
    auto found = options_.classes.find(r.target.instance);
    if (found == options_.classes.end()) found = options_.classes.find(r.target.service);
    if (found == options_.classes.end()) {
      return absl::PermissionDeniedError(absl::StrCat("target: no class is known for '",
                                                      r.target.instance, "' of '", r.target.service,
                                                      "': list it in classes"));
    }
    if (!(r.to >= 1 && r.to <= static_cast<double>(kMaxRate))) {
      return absl::OutOfRangeError("to: give 1 to 2^50 bytes per second");
    }
    if (options_.link_bytes_per_second > 0 && r.to > options_.link_bytes_per_second) {
      return absl::OutOfRangeError(absl::StrCat(
          "to: ", r.to, " bytes per second, but the link has ", options_.link_bytes_per_second));
    }
    SEER_ASSIGN_OR_RETURN(const ClassState before, Find(found->second));
    ClassState after = before;
    after.rate = static_cast<std::uint64_t>(r.to);
    after.ceiling = std::max(before.ceiling, after.rate);
    ActionPlan plan;
    plan.from = static_cast<double>(before.rate);
    plan.to = static_cast<double>(after.rate);
    if (after.rate != before.rate) {
      plan.changes.push_back({KnobOf(found->second), FormatState(before), FormatState(after)});
    }
    return plan;
  }

  absl::StatusOr<std::string> Read(const std::string& knob) override {
    SEER_ASSIGN_OR_RETURN(const HtbClass granted, Granted(knob));
    SEER_ASSIGN_OR_RETURN(const ClassState state, Find(granted));
    return FormatState(state);
  }

  absl::Status Write(const std::string& knob, const std::string& text) override {
    SEER_ASSIGN_OR_RETURN(const HtbClass granted, Granted(knob));
    SEER_ASSIGN_OR_RETURN(ClassState state, Find(granted));
    if (!ParseState(text, &state)) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no state of a class"));
    }
    SEER_ASSIGN_OR_RETURN(const int index, DeviceIndex(granted.device));
    const auto capped = [](std::uint64_t rate) {
      return static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, 0xffffffffu));
    };
    state.options.rate.rate = capped(state.rate);
    state.options.ceil.rate = capped(state.ceiling);
    Request request(RTM_NEWTCLASS, NLM_F_ACK);
    tcmsg message = {};
    message.tcm_ifindex = index;
    message.tcm_handle = HandleOf(granted);
    message.tcm_parent = state.parent;
    request.Append(&message, sizeof(message));
    request.Attribute(TCA_KIND, "htb", 4);
    const std::size_t options = request.Begin(TCA_OPTIONS);
    request.Attribute(TCA_HTB_PARMS, &state.options, sizeof(state.options));
    if (state.rate > 0xffffffffu)
      request.Attribute(TCA_HTB_RATE64, &state.rate, sizeof(state.rate));
    if (state.ceiling > 0xffffffffu) {
      request.Attribute(TCA_HTB_CEIL64, &state.ceiling, sizeof(state.ceiling));
    }
    request.End(options);
    return Exchange(&request, [](std::string_view) {});
  }

 private:
  static std::uint32_t HandleOf(const HtbClass& c) {
    return static_cast<std::uint32_t>(c.major) << 16 | c.minor;
  }
  static std::string KnobOf(const HtbClass& c) {
    return absl::StrCat(c.device, "|", absl::Hex(c.major), ":", absl::Hex(c.minor));
  }
  // Knobs come from a journal too: only what is granted.
  absl::StatusOr<HtbClass> Granted(const std::string& knob) const {
    for (const auto& [target, granted] : options_.classes) {
      if (KnobOf(granted) == knob) return granted;
    }
    return absl::PermissionDeniedError(absl::StrCat("knob: '", knob, "' is none of ours"));
  }

  // In the namespace of the socket, wherever this thread is.
  absl::StatusOr<int> DeviceIndex(const std::string& device) const {
    ifreq request = {};
    std::memcpy(request.ifr_name, device.data(),
                std::min(device.size(), sizeof(request.ifr_name) - 1));
    if (::ioctl(socket_.get(), SIOCGIFINDEX, &request) != 0) {
      return StatusOfErrno(errno, absl::StrCat("the device '", device, "'"));
    }
    return request.ifr_ifindex;
  }

  absl::StatusOr<ClassState> Find(const HtbClass& wanted) {
    SEER_ASSIGN_OR_RETURN(const int index, DeviceIndex(wanted.device));
    std::optional<ClassState> found;
    // That class alone, which the kernel sends to who asks only as an echo; and where it does not,
    // all of the device's.
    static constexpr std::uint16_t kWays[] = {NLM_F_ACK | NLM_F_ECHO, NLM_F_DUMP};
    for (const std::uint16_t flags : kWays) {
      Request request(RTM_GETTCLASS, flags);
      tcmsg message = {};
      message.tcm_ifindex = index;
      if (flags != NLM_F_DUMP) message.tcm_handle = HandleOf(wanted);
      request.Append(&message, sizeof(message));
      const absl::Status status = Exchange(&request, [&](std::string_view payload) {
        if (!found) found = ParseClass(payload, HandleOf(wanted));
      });
      if (found) return *found;
      if (absl::IsNotFound(status)) break;
      if (flags == NLM_F_DUMP && !status.ok()) return status;
    }
    return absl::NotFoundError(absl::StrCat("no HTB class '", KnobOf(wanted), "'"));
  }

  // Sends it, and hands over every answer until the kernel says that it is done.
  template <typename Take>
  absl::Status Exchange(Request* request, const Take& take) {
    const std::string& bytes = request->Finish(++sequence_);
    if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
      return StatusOfErrno(errno, "asking rtnetlink");
    }
    for (int datagrams = 0; datagrams < kMaxDatagrams; ++datagrams) {
      sockaddr_nl sender = {};
      socklen_t size = sizeof(sender);
      // The kernel answers before send() returns: nothing is waited for.
      const ssize_t n =
          ::recvfrom(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_TRUNC,
                     reinterpret_cast<sockaddr*>(&sender), &size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return StatusOfErrno(errno, "the answer of rtnetlink");
      if (static_cast<std::size_t>(n) > buffer_.size()) {
        return absl::InternalError("the answer of rtnetlink is longer than any");
      }
      if (sender.nl_pid != 0) continue;  // not the kernel's
      std::string_view rest(buffer_.data(), static_cast<std::size_t>(n));
      nlmsghdr header;
      while (Load(rest, &header)) {
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > rest.size()) {
          return absl::InternalError("the answer of rtnetlink is cut off");
        }
        const std::string_view payload =
            rest.substr(sizeof(header), header.nlmsg_len - sizeof(header));
        rest.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), rest.size()));
        if (header.nlmsg_seq != sequence_) continue;  // of a question that was given up
        if (header.nlmsg_type == NLMSG_DONE) return absl::OkStatus();
        if (header.nlmsg_type == NLMSG_ERROR) {
          std::int32_t error = 0;
          if (!Load(payload, &error)) return absl::InternalError("rtnetlink: a short error");
          return error == 0 ? absl::OkStatus() : StatusOfErrno(-error, "rtnetlink");
        }
        if (header.nlmsg_type == RTM_NEWTCLASS) take(payload);
      }
    }
    return absl::InternalError("rtnetlink does not come to an end");
  }

  const HtbOptions options_;
  const OwnedFd socket_;
  std::vector<char> buffer_;
  std::uint32_t sequence_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Actuator>> MakeHtbActuator(const HtbOptions& options) {
  for (const auto& [target, c] : options.classes) {
    if (target.empty() || c.device.empty() || c.device.size() >= IFNAMSIZ ||
        c.device.find('|') != std::string::npos || c.major == 0 || c.minor == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "classes: '", target, "': give a device and a class of two numbers above 0"));
    }
  }
  if (!(options.link_bytes_per_second >= 0)) {
    return absl::InvalidArgumentError("link_bytes_per_second: give 0 or more");
  }
  OwnedFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return absl::UnimplementedError("there is no rtnetlink here");
  return std::unique_ptr<Actuator>(std::make_unique<HtbActuator>(options, std::move(socket)));
}

SEER_END_NAMESPACE
