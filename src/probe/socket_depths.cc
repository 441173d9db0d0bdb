#include "seer/probe/socket_depths.h"

#include <linux/netlink.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "probe/sock_diag.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

template <typename T>
void SortEachOnce(std::vector<T>* values) {
  std::sort(values->begin(), values->end());
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

absl::Status Check(const SocketProbeOptions& options) {
  if (options.ports.size() > SocketProbeOptions::kMaxPorts) {
    return absl::InvalidArgumentError(
        absl::StrCat("SocketProbeOptions::ports has ", options.ports.size(), " ports, at most ",
                     SocketProbeOptions::kMaxPorts, " are possible: leave it empty for all"));
  }
  if (std::find(options.ports.begin(), options.ports.end(), 0) != options.ports.end()) {
    return absl::InvalidArgumentError("SocketProbeOptions::ports has a port 0, which nobody has");
  }
  if (options.cgroups.size() > SocketProbeOptions::kMaxCgroups) {
    return absl::InvalidArgumentError(
        absl::StrCat("SocketProbeOptions::cgroups has ", options.cgroups.size(), " ids, at most ",
                     SocketProbeOptions::kMaxCgroups, " are possible: leave it empty for all"));
  }
  if (std::find(options.cgroups.begin(), options.cgroups.end(), 0u) != options.cgroups.end()) {
    return absl::InvalidArgumentError("SocketProbeOptions::cgroups has an id 0, which none has");
  }
  if (options.ports.size() * options.cgroups.size() > SocketProbeOptions::kMaxRows) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SocketProbeOptions: ", options.ports.size(), " ports times ", options.cgroups.size(),
        " cgroups are more than ", SocketProbeOptions::kMaxRows, " rows: leave `ports` empty"));
  }
  if (options.max_sockets == 0 || options.time_limit <= std::chrono::nanoseconds(0) ||
      options.retries < 0 || options.retries > 100) {
    return absl::InvalidArgumentError(
        "SocketProbeOptions: max_sockets and time_limit have to be positive, retries 0 to 100");
  }
  return absl::OkStatus();
}

}  // namespace

SocketProbe::SocketProbe(internal::NetlinkSocket socket, const SocketProbeOptions& options)
    : socket_(std::move(socket)), options_(options) {
  SortEachOnce(&options_.ports);
  SortEachOnce(&options_.cgroups);
  sockets_request_ = internal::BuildSocketRequest(options_, /*connections=*/true);
  listeners_request_ = internal::BuildSocketRequest(options_, /*connections=*/false);
}

absl::StatusOr<SocketProbe> SocketProbe::OpenInNamespace(const std::string& path,
                                                         const SocketProbeOptions& options) {
  SEER_RETURN_IF_ERROR(Check(options));
  SEER_ASSIGN_OR_RETURN(internal::NetlinkSocket socket,
                        internal::NetlinkSocket::Open(NETLINK_SOCK_DIAG, path));
  return SocketProbe(std::move(socket), options);
}

absl::StatusOr<SocketProbe> SocketProbe::Open(const SocketProbeOptions& options) {
  return OpenInNamespace("", options);
}

absl::StatusOr<SocketProbe> SocketProbe::OpenInNamespaceOf(pid_t pid,
                                                           const SocketProbeOptions& options) {
  if (pid <= 0) return absl::InvalidArgumentError(absl::StrCat("no process has the pid ", pid));
  return OpenInNamespace(absl::StrCat("/proc/", pid, "/ns/net"), options);
}

absl::Status SocketProbe::Sample(std::vector<PortDepths>* rows) {
  return Sample(&sockets_request_, rows);
}
absl::Status SocketProbe::SampleListeners(std::vector<PortDepths>* rows) {
  return Sample(&listeners_request_, rows);
}

absl::Status SocketProbe::Sample(std::vector<char>* request, std::vector<PortDepths>* rows) {
  internal::SocketTally tally(options_, rows);
  const internal::DumpLimits limits{options_.max_sockets, options_.time_limit, options_.retries};
  absl::Status status = socket_.Dump(absl::MakeSpan(*request), limits, &tally);
  if (status.ok()) {
    tally.Finish();
    return status;
  }
  rows->clear();
  if (absl::IsInvalidArgument(status) && !options_.cgroups.empty()) {
    return absl::UnimplementedError(
        "this kernel cannot tell sockets by their cgroup (Linux 5.8 can): use ports");
  }
  // No such handler: a kernel without inet_diag, or one that may not load it.
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status)) {
    return absl::UnimplementedError(
        "this kernel does not dump TCP sockets: it needs CONFIG_INET_TCP_DIAG (tcp_diag.ko)");
  }
  return status;
}

SEER_END_NAMESPACE
