#include "queue/kernel_parts.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

std::uint32_t Saturated(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

template <typename Probe, typename... Options>
absl::Status OpenIn(const Network& network, std::optional<Probe>* probe,
                    const Options&... options) {
  absl::StatusOr<Probe> opened =
      network.id == 0 ? Probe::Open(options...) : Probe::OpenInNamespaceOf(network.pid, options...);
  SEER_RETURN_IF_ERROR(opened.status());
  probe->emplace(*std::move(opened));
  return absl::OkStatus();
}

absl::Status Named(const char* what, const Network& network, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(what, " of ", network.Text(), ": ", status.message()));
}

}  // namespace

std::optional<Network> Network::Of(pid_t pid) {
  struct stat ours, theirs;
  if (stat("/proc/thread-self/ns/net", &ours) != 0) return std::nullopt;
  if (stat(absl::StrCat("/proc/", pid, "/ns/net").c_str(), &theirs) == 0) {
    if (theirs.st_ino == ours.st_ino) return std::nullopt;
    return Network{theirs.st_ino, pid};
  }
  // Opening it will say so in words; until then an id that no namespace has.
  if (errno == EACCES || errno == EPERM) return Network{~static_cast<std::uint64_t>(pid), pid};
  return std::nullopt;
}

std::string Network::Text() const {
  return id == 0 ? "this network" : absl::StrCat("the network of pid ", pid);
}

void SocketPart::Add(std::uint64_t key, InstanceId instance) {
  std::size_t row = 0;
  while (row < rows_.size() && rows_[row].instance != instance) ++row;
  if (row == rows_.size()) {
    rows_.emplace_back();
    rows_.back().instance = instance;
  }
  bool known = false;
  for (const Owner& owner : owners_) {
    if (owner.key != key) continue;
    known = true;
    rows_[row].shared = rows_[owner.row].shared = true;
  }
  owners_.push_back({key, row});
  if (known) return;
  ++keys_;
  if (key_ == Key::kPort) options_.ports.push_back(static_cast<std::uint16_t>(key));
  if (key_ == Key::kCgroup) options_.cgroups.push_back(key);
}

void SocketPart::Finish(std::vector<SocketPart>* before) {
  std::sort(owners_.begin(), owners_.end());
  std::sort(options_.ports.begin(), options_.ports.end());
  std::sort(options_.cgroups.begin(), options_.cgroups.end());
  for (SocketPart& part : *before) {
    if (part.key_ != key_ || part.network_.id != network_.id ||
        part.options_.ports != options_.ports || part.options_.cgroups != options_.cgroups) {
      continue;
    }
    probe_ = std::move(part.probe_);
    part.probe_.reset();
    patience_ = part.patience_;
    depths_.swap(part.depths_);
    return;
  }
}

absl::Status SocketPart::Ask() {
  if (!probe_.has_value()) {
    SEER_RETURN_IF_ERROR(OpenIn(network_, &probe_, options_));
  }
  absl::Status status = probe_->Sample(&depths_);
  // Next time with a fresh socket, unless it was only too much at once.
  if (!status.ok() && !absl::IsResourceExhausted(status)) probe_.reset();
  return status;
}

Answer SocketPart::Sample() {
  if (!patience_.Ask()) return {false, patience_.status()};
  if (patience_.Heard(Ask()).ok()) AddUp();
  return {true, patience_.status()};
}

void SocketPart::AddUp() {
  for (Row& row : rows_) {
    row.seen = false;
    row.sum = PortDepths();
  }
  for (const PortDepths& depths : depths_) {
    const std::uint64_t key = key_ == Key::kPort     ? depths.port
                              : key_ == Key::kCgroup ? depths.cgroup
                                                     : 0;
    auto owner = std::lower_bound(owners_.begin(), owners_.end(), Owner{key, 0});
    for (; owner != owners_.end() && owner->key == key; ++owner) {
      Row& row = rows_[owner->row];
      row.seen |= depths.listeners > 0 || depths.connections > 0;
      row.sum.listeners += depths.listeners;
      row.sum.accept_backlog += depths.accept_backlog;
      row.sum.unread_connections += depths.unread_connections;
      row.sum.unread_bytes += depths.unread_bytes;
      row.sum.unsent_connections += depths.unsent_connections;
      row.sum.unsent_bytes += depths.unsent_bytes;
    }
  }
}

void SocketPart::Fill(ChannelTable* table) const {
  for (const Row& row : rows_) {
    if (!row.seen) continue;
    const auto set = [&](Channel channel, std::uint64_t depth) {
      if (table->coverage(row.instance).Has(channel)) return false;
      ChannelSample sample;
      sample.depth = Saturated(depth);
      sample.shared = row.shared;
      table->Set(row.instance, channel, sample);
      return true;
    };
    if (row.sum.listeners > 0) set(Channel::kAccept, row.sum.accept_backlog);
    if (set(Channel::kSocket, row.sum.unread_connections)) {
      table->SetBytes(row.instance, Channel::kSocket, row.sum.unread_bytes);
    }
    if (set(Channel::kSend, row.sum.unsent_connections)) {
      table->SetBytes(row.instance, Channel::kSend, row.sum.unsent_bytes);
    }
  }
}

absl::Status SocketPart::error() const { return Named("sockets", network_, patience_.status()); }

void NicPart::Finish(std::vector<NicPart>* before) {
  for (NicPart& part : *before) {
    if (part.network_.id != network_.id) continue;
    probe_ = std::move(part.probe_);
    part.probe_.reset();
    patience_ = part.patience_;
    devices_.swap(part.devices_);
    return;
  }
}

Answer NicPart::Sample(SoftnetProbe* softnet) {
  if (!patience_.Ask()) return {false, patience_.status()};
  return {true, patience_.Heard(Ask(softnet))};
}

absl::Status NicPart::Ask(SoftnetProbe* softnet) {
  if (!probe_.has_value()) {
    SEER_RETURN_IF_ERROR(OpenIn(network_, &probe_));
  }
  if (absl::Status status = probe_->Sample(&devices_); !status.ok()) {
    probe_.reset();
    return status;
  }
  const bool host = network_.id == 0;
  // Kernels before 5.10 keep the softnet backlog to themselves: the devices alone are known then.
  const SoftnetDepths backlog = host ? softnet->Sample() : SoftnetDepths();
  waiting_ = PacketsWaitingIn(devices_, !host && instances_.size() == 1,
                              backlog.backlog_packets.ok() ? &backlog : nullptr);
  if (waiting_.packets.ok()) return absl::OkStatus();
  switch (MissingOf(waiting_.packets.reason)) {
    case Missing::kNoPermission:
      return absl::PermissionDeniedError("the kernel does not tell us");
    case Missing::kNotSupported:
      return absl::UnimplementedError("this kernel does not tell");
    default:
      return absl::UnavailableError("no device told");
  }
}

void NicPart::Fill(ChannelTable* table) const {
  ChannelSample sample;
  sample.depth = Saturated(waiting_.packets.value);
  sample.shared = waiting_.shared;
  for (const InstanceId instance : instances_) {
    if (table->coverage(instance).Has(Channel::kNic)) continue;
    table->Set(instance, Channel::kNic, sample);
  }
}

absl::Status NicPart::error() const { return Named("packets", network_, patience_.status()); }

}  // namespace internal
SEER_END_NAMESPACE
