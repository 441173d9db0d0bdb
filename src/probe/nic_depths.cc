#include "seer/probe/nic_depths.h"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "probe/ethtool.h"
#include "probe/first_line.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

std::size_t RoundUp(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

bool ContainsAny(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  });
}

// Asks the driver; 0 or an errno.
int Ethtool(int socket, const std::string& device, void* command) {
  ifreq request = {};
  if (device.empty() || device.size() >= sizeof(request.ifr_name)) return ENODEV;
  std::memcpy(request.ifr_name, device.data(), device.size());
  request.ifr_data = static_cast<decltype(request.ifr_data)>(command);
  return ::ioctl(socket, SIOCETHTOOL, &request) == 0 ? 0 : errno;
}

}  // namespace

GuardedBytes::GuardedBytes(std::size_t size) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t usable = RoundUp(size, page);
  void* const mapping =
      ::mmap(nullptr, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return;
  mapping_ = mapping;
  mapped_ = usable + page;
  if (::mprotect(static_cast<char*>(mapping) + usable, page, PROT_NONE) != 0) return;
  data_ = static_cast<char*>(mapping) + usable - size;
  size_ = size;
}

GuardedBytes::~GuardedBytes() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapped_);
}

NicStatisticName ClassifyNicStatistic(std::string_view name) {
  NicStatisticName result;
  // What a program of the host's (XDP) throws away, it throws away on purpose.
  if (name.find("xdp") != std::string_view::npos) return result;
  if (!ContainsAny(name, {"drop", "discard", "missed", "no_buf", "nobuf", "out_of_buf",
                          "no_dma_res", "fifo_err"})) {
    return result;
  }
  const bool receives = name.find("rx") != std::string_view::npos;
  const bool transmits = name.find("tx") != std::string_view::npos;
  if (receives == transmits) return result;
  result.kind = receives ? NicStatistic::kReceiveDropped : NicStatistic::kTransmitDropped;
  result.of_ring = name.find_first_of("0123456789") != std::string_view::npos;
  return result;
}

}  // namespace internal

NicProbe::NicProbe(const std::string& device, const std::string& root) : device_(device) {
  // A name with a slash would lead elsewhere.
  if (device.find('/') == std::string::npos && device.size() < IFNAMSIZ) {
    for (std::size_t i = 0; i < kMaxRings; ++i) {
      const std::string ring =
          absl::StrCat(root, "/sys/class/net/", device, "/queues/tx-", i, "/byte_queue_limits/");
      Ring files{internal::ProcFile(ring + "inflight"), internal::ProcFile(ring + "limit")};
      if (!files.inflight.is_open() || !files.limit.is_open()) {
        if (i == 0) rings_reason_ = files.inflight.reason();
        break;
      }
      rings_.push_back(std::move(files));
    }
  }
  socket_ = internal::OwnedFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ChooseStatistics();
}

void NicProbe::ChooseStatistics() {
  receive_ = {};
  transmit_ = {};
  statistics_ = 0;
  statistics_reason_ = Reason::kFailed;
  if (!socket_) return;

  ethtool_sset_info question = {};
  question.cmd = ETHTOOL_GSSET_INFO;
  question.sset_mask = std::uint64_t{1} << ETH_SS_STATS;
  // One number follows the struct.
  std::uint32_t count = 0;
  alignas(ethtool_sset_info) char answer[sizeof(question) + sizeof(count)] = {};
  std::memcpy(answer, &question, sizeof(question));
  if (const int error = internal::Ethtool(socket_.get(), device_, answer); error != 0) {
    statistics_reason_ = ReasonOfErrno(error);
    return;
  }
  std::memcpy(&question, answer, sizeof(question));
  if (question.sset_mask != 0) std::memcpy(&count, answer + sizeof(question), sizeof(count));
  if (count == 0 || count > kMaxStatistics) {
    statistics_reason_ = Reason::kNotSupported;
    return;
  }

  const internal::GuardedBytes names(sizeof(ethtool_gstrings) +
                                     std::size_t{count} * ETH_GSTRING_LEN);
  buffer_ = internal::GuardedBytes(sizeof(ethtool_stats) + count * sizeof(std::uint64_t));
  if (names.data() == nullptr || buffer_.data() == nullptr) return;
  ethtool_gstrings strings = {};
  strings.cmd = ETHTOOL_GSTRINGS;
  strings.string_set = ETH_SS_STATS;
  strings.len = count;
  std::memcpy(names.data(), &strings, sizeof(strings));
  if (const int error = internal::Ethtool(socket_.get(), device_, names.data()); error != 0) {
    statistics_reason_ = ReasonOfErrno(error);
    return;
  }
  std::memcpy(&strings, names.data(), sizeof(strings));
  if (strings.len != count) return;  // it changed meanwhile; the next sample tries again

  // Rings first: where there are any, the totals would count their packets again.
  for (Chosen* chosen : {&receive_, &transmit_}) {
    const internal::NicStatistic wanted = chosen == &receive_
                                              ? internal::NicStatistic::kReceiveDropped
                                              : internal::NicStatistic::kTransmitDropped;
    for (const bool of_ring : {true, false}) {
      if (!chosen->indices.empty()) break;
      for (std::size_t i = 0; i < count; ++i) {
        const char* const text = names.data() + sizeof(strings) + i * ETH_GSTRING_LEN;
        const std::string_view name(text, ::strnlen(text, ETH_GSTRING_LEN));
        const internal::NicStatisticName is = internal::ClassifyNicStatistic(name);
        if (is.kind != wanted || is.of_ring != of_ring) continue;
        chosen->indices.push_back(i);
        chosen->names.emplace_back(name);
      }
    }
  }
  statistics_ = count;
  statistics_reason_ = Reason::kNone;
}

void NicProbe::SampleRings(NicDepths* depths) noexcept {
  depths->inflight_bytes = depths->inflight_limit_bytes = Reading::Not(rings_reason_);
  if (rings_.empty()) return;
  depths->inflight_bytes = depths->inflight_limit_bytes = Reading::Of(0);
  for (const Ring& ring : rings_) {
    depths->inflight_bytes = Sum(depths->inflight_bytes, internal::ReadNumber(ring.inflight));
    depths->inflight_limit_bytes =
        Sum(depths->inflight_limit_bytes, internal::ReadNumber(ring.limit));
  }
  // The files are there for drivers too that never fill them in.
  if (depths->inflight_limit_bytes == Reading::Of(0)) {
    depths->inflight_bytes = depths->inflight_limit_bytes = Reading::Not(Reason::kNotSupported);
  }
}

void NicProbe::SampleStatistics(NicDepths* depths) {
  if (statistics_reason_ == Reason::kFailed) ChooseStatistics();
  Reason reason = statistics_reason_;
  if (reason == Reason::kNone) {
    ethtool_stats header = {};
    header.cmd = ETHTOOL_GSTATS;
    header.n_stats = static_cast<std::uint32_t>(statistics_);
    std::memcpy(buffer_.data(), &header, sizeof(header));
    const int error = internal::Ethtool(socket_.get(), device_, buffer_.data());
    std::memcpy(&header, buffer_.data(), sizeof(header));
    if (error == EFAULT || (error == 0 && header.n_stats != statistics_)) {
      reason = statistics_reason_ = Reason::kFailed;  // other statistics: look at them anew
    } else {
      reason = ReasonOfErrno(error);
    }
  }
  const auto add_up = [&](const Chosen& chosen) {
    if (reason != Reason::kNone) return Reading::Not(reason);
    if (chosen.indices.empty()) return Reading::Not(Reason::kNotSupported);
    Reading sum = Reading::Of(0);
    for (std::size_t i : chosen.indices) {
      std::uint64_t value;
      std::memcpy(&value, buffer_.data() + sizeof(ethtool_stats) + i * sizeof(value),
                  sizeof(value));
      sum = Sum(sum, Reading::Of(value));
    }
    return sum;
  };
  depths->receive_dropped = add_up(receive_);
  depths->transmit_dropped = add_up(transmit_);
}

NicDepths NicProbe::Sample() {
  NicDepths depths;
  SampleRings(&depths);
  SampleStatistics(&depths);
  return depths;
}

SEER_END_NAMESPACE
