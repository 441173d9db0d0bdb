#include "seer/probe/internal/netlink_socket.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "probe/netlink.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kOwnNamespace[] = "/proc/thread-self/ns/net";
constexpr int kMaxInterruptions = 16;

bool SameFile(int a, int b) {
  struct stat of_a, of_b;
  return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

OwnedFd OpenNamespace(const char* path) { return OwnedFd(::open(path, O_RDONLY | O_CLOEXEC)); }

// A socket in the calling thread's namespace.
absl::StatusOr<OwnedFd> MakeSocket(int protocol) {
  OwnedFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (fd) return fd;
  const int error = errno;
  if (error == EPROTONOSUPPORT || error == EAFNOSUPPORT || error == EINVAL) {
    return absl::UnimplementedError(
        absl::StrCat("this kernel has no netlink protocol ", protocol, " for us"));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("netlink socket of protocol ", protocol));
}

// Namespaces belong to threads, so a thread that nobody else uses goes there and comes to its end.
absl::StatusOr<OwnedFd> MakeSocketIn(int target_namespace, int protocol) {
  absl::StatusOr<OwnedFd> result = absl::InternalError("the thread did not run");
  const auto open_there = [&] {
    if (::setns(target_namespace, CLONE_NEWNET) != 0) {
      result = absl::ErrnoToStatus(
          errno, "entering the network namespace (it takes CAP_SYS_ADMIN here and there)");
      return;
    }
    result = MakeSocket(protocol);
  };
  // The host's signal handlers do not expect our thread, and it inherits what is blocked here.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(open_there);
  } catch (const std::system_error&) {
    result = absl::ResourceExhaustedError("no thread could be started to enter the namespace");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (thread.joinable()) thread.join();
  return result;
}

bool IsPassing(int error) {
  return error == EINTR || error == ENOBUFS || error == EAGAIN || error == EBUSY || error == ENOMEM;
}

}  // namespace

NetlinkSocket::NetlinkSocket(Connector connect)
    : connect_(std::move(connect)), buffer_(std::make_unique<char[]>(kBufferBytes)) {}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(Connector connect) {
  NetlinkSocket socket(std::move(connect));
  SEER_RETURN_IF_ERROR(socket.Reconnect());
  return socket;
}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(int protocol, const std::string& namespace_path) {
  // The namespace stays open, for a later socket in the same one. Ours too, as that socket may be
  // made by a thread that lives elsewhere.
  OwnedFd opened = OpenNamespace(namespace_path.empty() ? kOwnNamespace : namespace_path.c_str());
  if (!opened && !namespace_path.empty()) {
    return absl::ErrnoToStatus(errno, absl::StrCat("the network namespace '", namespace_path, "'"));
  }
  // Shared only because a std::function has to be copyable.
  const auto target = std::make_shared<OwnedFd>(std::move(opened));
  return Open([target, protocol]() -> absl::StatusOr<OwnedFd> {
    if (!*target) return MakeSocket(protocol);  // no /proc: then our own is all there is
    const OwnedFd own = OpenNamespace(kOwnNamespace);
    if (own && SameFile(own.get(), target->get())) return MakeSocket(protocol);
    return MakeSocketIn(target->get(), protocol);
  });
}

absl::Status NetlinkSocket::Reconnect() {
  fd_ = OwnedFd();
  if (connect_ == nullptr) return absl::FailedPreconditionError("this probe was moved from");
  SEER_ASSIGN_OR_RETURN(fd_, connect_());
  return absl::OkStatus();
}

absl::Status NetlinkSocket::Dump(absl::Span<char> request, const DumpLimits& limits,
                                 DumpSink* sink) {
  const Clock::time_point deadline = Clock::now() + limits.time;
  absl::Status error;  // of the last attempt; every outcome but kDone sets it
  for (int attempt = 0; attempt <= std::max(limits.retries, 0); ++attempt) {
    if (!fd_) SEER_RETURN_IF_ERROR(Reconnect());
    sink->Restart();
    switch (Attempt(request, limits.messages, deadline, sink, &error)) {
      case Outcome::kDone:
        return absl::OkStatus();
      case Outcome::kRetry:
        break;
      case Outcome::kRetryOnNewSocket:
        fd_ = OwnedFd();
        break;
      case Outcome::kError:
        return error;
    }
  }
  return error;
}

NetlinkSocket::Outcome NetlinkSocket::Attempt(absl::Span<char> request, std::size_t max_messages,
                                              Clock::time_point deadline, DumpSink* sink,
                                              absl::Status* error) {
  // A half-read answer is left behind with its socket: the kernel starts no second dump on it.
  const auto give_up = [&](absl::Status why) {
    *error = std::move(why);
    fd_ = OwnedFd();
    return Outcome::kError;
  };
  const auto retry_anew = [&](const char* why) {
    *error = absl::UnavailableError(why);
    return Outcome::kRetryOnNewSocket;
  };

  ++sequence_;
  auto header = LoadFront<nlmsghdr>(request);
  header.nlmsg_seq = sequence_;
  std::memcpy(request.data(), &header, sizeof(header));
  int interruptions = 0;
  while (::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    if (errno == EINTR && ++interruptions < kMaxInterruptions) continue;
    if (IsPassing(errno)) return retry_anew("the kernel did not take the request for a dump");
    return give_up(absl::ErrnoToStatus(errno, "the request for a dump"));
  }

  bool interrupted = false;
  std::size_t messages = 0;
  // Each turn reads a datagram, of which the messages bound how many there are, or is an
  // interruption, or a stranger's, and these are counted too.
  for (;;) {
    iovec piece = {buffer_.get(), kBufferBytes};
    sockaddr_nl sender = {};
    msghdr message = {};
    message.msg_name = &sender;
    message.msg_namelen = sizeof(sender);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    // The kernel has the next datagram ready before it hands out one, so nothing is waited for.
    const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR && ++interruptions < kMaxInterruptions) continue;
      if (IsPassing(errno)) return retry_anew("the dump ended early");
      return give_up(absl::ErrnoToStatus(errno, "the answer to a dump"));
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) return retry_anew("a piece of the dump was cut off");
    // Another process may send to our address; only the kernel's is 0.
    if (message.msg_namelen == sizeof(sender) && sender.nl_family == AF_NETLINK &&
        sender.nl_pid != 0) {
      if (++interruptions >= kMaxInterruptions) return retry_anew("strangers disturb the dump");
      continue;
    }
    const DatagramResult result =
        ParseDatagram({buffer_.get(), static_cast<std::size_t>(n)}, sequence_, sink);
    interrupted |= result.interrupted;
    messages += result.messages;
    switch (result.end) {
      case DatagramResult::End::kMore:
        break;
      case DatagramResult::End::kDone:
        if (!interrupted) return Outcome::kDone;
        *error = absl::UnavailableError("the table changed while it was dumped");
        return Clock::now() < deadline ? Outcome::kRetry : Outcome::kError;
      case DatagramResult::End::kError:
        if (IsPassing(result.error)) return retry_anew("the kernel gave up the dump");
        return give_up(absl::ErrnoToStatus(result.error, "the kernel refused the dump"));
      case DatagramResult::End::kMalformed:
        return retry_anew("the dump is malformed");
    }
    if (messages > max_messages) {
      return give_up(absl::ResourceExhaustedError(
          absl::StrCat("the dump has more than ", max_messages, " rows")));
    }
    // A datagram without a message of ours would not count.
    if (result.messages == 0 && ++interruptions >= kMaxInterruptions) {
      return retry_anew("the dump says nothing");
    }
    if (Clock::now() >= deadline) {
      return give_up(absl::ResourceExhaustedError("the dump takes longer than its time limit"));
    }
  }
}

}  // namespace internal
SEER_END_NAMESPACE
