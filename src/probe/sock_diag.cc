#include "probe/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "probe/netlink.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// The kernel's numbers of TCP states; linux/tcp_states.h is not for user space, and netinet/tcp.h,
// which has them, does not go together with linux/tcp.h.
constexpr unsigned kEstablished = 1;
constexpr unsigned kCloseWait = 8;
constexpr unsigned kListen = 10;

// ---- The filter. A program runs from its front; an operation that holds goes on `yes` bytes
// further, one that does not `no` bytes. To arrive exactly at the end is to pass, to go four bytes
// beyond is to fail. The kernel accepts only jumps forward to where an operation begins.
class FilterWriter {
 public:
  std::size_t here() const { return program_.size(); }
  std::vector<char> Take() { return std::move(program_); }

  // `code` holds: go on with the next operation. Returns where the other way is to be filled in.
  template <typename Argument>
  std::size_t If(std::uint8_t code, const Argument& argument) {
    const std::size_t at = here();
    inet_diag_bc_op op = {};
    op.code = code;
    op.yes = sizeof(op) + sizeof(argument);
    Append(op, &program_);
    Append(argument, &program_);
    return at;
  }
  std::size_t IfPort(std::uint8_t code, std::uint16_t port) {
    inet_diag_bc_op argument = {};
    argument.no = port;
    return If(code, argument);
  }
  std::size_t Jump() {
    const std::size_t at = here();
    inet_diag_bc_op op = {};
    op.code = INET_DIAG_BC_JMP;
    op.yes = sizeof(op);
    Append(op, &program_);
    return at;
  }
  void Fill(std::size_t at, std::size_t target) {
    const auto distance = static_cast<std::uint16_t>(target - at);
    std::memcpy(&program_[at + offsetof(inet_diag_bc_op, no)], &distance, sizeof(distance));
  }

 private:
  std::vector<char> program_;
};

struct PortRange {
  std::uint16_t first, last;
};

// A socket's port is at least ranges[0].first where `bounded_below`.
void WritePorts(absl::Span<const PortRange> ranges, bool bounded_below, FilterWriter* writer,
                std::vector<std::size_t>* passes, std::vector<std::size_t>* fails) {
  if (ranges.size() == 1) {
    if (!bounded_below) fails->push_back(writer->IfPort(INET_DIAG_BC_S_GE, ranges[0].first));
    fails->push_back(writer->IfPort(INET_DIAG_BC_S_LE, ranges[0].last));
    passes->push_back(writer->Jump());
    return;
  }
  const std::size_t middle = ranges.size() / 2;
  const std::size_t below = writer->IfPort(INET_DIAG_BC_S_GE, ranges[middle].first);
  WritePorts(ranges.subspan(middle), true, writer, passes, fails);
  writer->Fill(below, writer->here());
  WritePorts(ranges.first(middle), bounded_below, writer, passes, fails);
}

bool KeyLess(const PortDepths& a, const PortDepths& b) {
  return std::tie(a.cgroup, a.port) < std::tie(b.cgroup, b.port);
}

void AddSaturating(std::uint64_t value, std::uint64_t* to) {
  *to = value > std::numeric_limits<std::uint64_t>::max() - *to
            ? std::numeric_limits<std::uint64_t>::max()
            : *to + value;
}

}  // namespace

std::vector<char> BuildSocketFilter(absl::Span<const std::uint16_t> ports,
                                    absl::Span<const std::uint64_t> cgroups) {
  FilterWriter writer;
  std::vector<std::size_t> passes, fails;
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    const std::size_t other = writer.If(INET_DIAG_BC_CGROUP_COND, cgroups[i]);
    passes.push_back(writer.Jump());
    if (i + 1 < cgroups.size()) {
      writer.Fill(other, writer.here());
    } else {
      fails.push_back(other);
    }
  }
  for (std::size_t at : passes) writer.Fill(at, writer.here());
  passes.clear();

  std::vector<PortRange> ranges;
  for (std::uint16_t port : ports) {
    if (!ranges.empty() && ranges.back().last + 1 == port) {
      ranges.back().last = port;
    } else {
      ranges.push_back({port, port});
    }
  }
  if (!ranges.empty()) WritePorts(ranges, false, &writer, &passes, &fails);
  for (std::size_t at : passes) writer.Fill(at, writer.here());
  for (std::size_t at : fails) writer.Fill(at, writer.here() + sizeof(inet_diag_bc_op));
  return writer.Take();
}

std::vector<char> BuildSocketRequest(const SocketProbeOptions& options, bool connections) {
  const std::vector<char> filter = BuildSocketFilter(options.ports, options.cgroups);

  // The old request type: it has both address families in one walk, where SOCK_DIAG_BY_FAMILY
  // would walk the kernel's table twice.
  nlmsghdr header = {};
  header.nlmsg_type = TCPDIAG_GETSOCK;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  inet_diag_req body = {};
  body.idiag_family = AF_INET;  // says which handler to load, not what to dump
  body.idiag_states = 1u << kListen;
  if (connections) {
    body.idiag_states |= (1u << kEstablished) | (1u << kCloseWait);
    if (options.unsent == Unsent::kNotSent) body.idiag_ext = 1u << (INET_DIAG_INFO - 1);
  }

  std::vector<char> request;
  Append(header, &request);
  Append(body, &request);
  static_assert(sizeof(header) % NLMSG_ALIGNTO == 0 && sizeof(body) % NLA_ALIGNTO == 0);
  if (!filter.empty()) {
    nlattr attribute = {};
    attribute.nla_type = INET_DIAG_REQ_BYTECODE;
    attribute.nla_len = static_cast<std::uint16_t>(sizeof(attribute) + filter.size());
    Append(attribute, &request);
    const std::size_t at = request.size();
    request.resize(at + filter.size());
    std::memcpy(request.data() + at, filter.data(), filter.size());
  }
  header.nlmsg_len = static_cast<std::uint32_t>(request.size());
  std::memcpy(request.data(), &header, sizeof(header));
  return request;
}

void SocketTally::Restart() {
  rows_.clear();
  sealed_ = !options_.ports.empty();
  // A row for everybody, so that what is not there reads as nothing waiting.
  const std::uint64_t any_cgroup = 0;
  const std::uint16_t other_ports = 0;
  const absl::Span<const std::uint64_t> cgroups = options_.cgroups.empty()
                                                      ? absl::MakeConstSpan(&any_cgroup, 1)
                                                      : absl::MakeConstSpan(options_.cgroups);
  const absl::Span<const std::uint16_t> ports = options_.ports.empty()
                                                    ? absl::MakeConstSpan(&other_ports, 1)
                                                    : absl::MakeConstSpan(options_.ports);
  for (std::uint64_t cgroup : cgroups) {
    for (std::uint16_t port : ports) {
      PortDepths row;
      row.cgroup = cgroup;
      row.port = port;
      rows_.push_back(row);
    }
  }
}

PortDepths* SocketTally::Find(std::uint64_t cgroup, std::uint16_t port) {
  PortDepths key;
  key.cgroup = cgroup;
  key.port = port;
  const auto found = std::lower_bound(rows_.begin(), rows_.end(), key, KeyLess);
  return found != rows_.end() && !KeyLess(key, *found) ? &*found : nullptr;
}

void SocketTally::Seal() {
  sealed_ = true;
  std::sort(rows_.begin(), rows_.end(), KeyLess);
  // Listeners of the same port into one row.
  std::size_t kept = 0;
  for (std::size_t i = 1; i < rows_.size(); ++i) {
    if (!KeyLess(rows_[kept], rows_[i])) {
      rows_[kept].listeners += rows_[i].listeners;
      AddSaturating(rows_[i].accept_backlog, &rows_[kept].accept_backlog);
      AddSaturating(rows_[i].accept_limit, &rows_[kept].accept_limit);
    } else {
      rows_[++kept] = rows_[i];
    }
  }
  rows_.resize(std::min(rows_.size(), kept + 1));
}

void SocketTally::Finish() {
  if (!sealed_) Seal();
}

void SocketTally::Take(std::uint16_t type, absl::Span<const char> payload) {
  if (type != TCPDIAG_GETSOCK && type != SOCK_DIAG_BY_FAMILY) return;
  if (payload.size() < sizeof(inet_diag_msg)) return;
  const auto socket = LoadFront<inet_diag_msg>(payload);
  const std::uint16_t port = ntohs(socket.id.idiag_sport);

  std::uint64_t cgroup = 0;
  std::uint64_t unsent = socket.idiag_wqueue;
  if (options_.cgroups.size() == 1) cgroup = options_.cgroups[0];  // nothing else passes the filter
  if (options_.cgroups.size() > 1 || options_.unsent == Unsent::kNotSent) {
    NetlinkAttributes attributes(payload.subspan(NLMSG_ALIGN(sizeof(inet_diag_msg))));
    std::uint16_t attribute;
    absl::Span<const char> value;
    while (attributes.Next(&attribute, &value)) {
      if (attribute == INET_DIAG_CGROUP_ID && options_.cgroups.size() > 1) {
        cgroup = LoadFront<std::uint64_t>(value);
      } else if (attribute == INET_DIAG_INFO && options_.unsent == Unsent::kNotSent) {
        unsent = LoadFront<tcp_info>(value).tcpi_notsent_bytes;
      }
    }
  }

  if (socket.idiag_state == kListen) {
    PortDepths row;
    row.cgroup = cgroup;
    row.port = port;
    row.listeners = 1;
    row.accept_backlog = socket.idiag_rqueue;
    row.accept_limit = socket.idiag_wqueue;
    if (!sealed_) {
      rows_.push_back(row);
    } else if (PortDepths* const known = Find(cgroup, port); known != nullptr) {
      ++known->listeners;
      AddSaturating(row.accept_backlog, &known->accept_backlog);
      AddSaturating(row.accept_limit, &known->accept_limit);
    }
    return;
  }
  if (socket.idiag_state != kEstablished && socket.idiag_state != kCloseWait) return;
  if (!sealed_) Seal();
  PortDepths* row = Find(cgroup, port);
  if (row == nullptr && options_.ports.empty()) row = Find(cgroup, 0);
  if (row == nullptr) return;
  // A connection has an inode from accept() or connect() until it is closed, and after that it is
  // in neither of these states.
  if (socket.idiag_inode == 0) {
    ++row->unaccepted;
    return;
  }
  ++row->connections;
  if (socket.idiag_rqueue > 0) {
    // The peer's end of the connection is waiting work too, but no byte, though the kernel numbers
    // it like one.
    const bool ended = socket.idiag_state == kCloseWait;
    ++row->unread_connections;
    AddSaturating(socket.idiag_rqueue - (ended ? 1u : 0u), &row->unread_bytes);
  }
  if (unsent > 0) {
    ++row->unsent_connections;
    AddSaturating(unsent, &row->unsent_bytes);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
