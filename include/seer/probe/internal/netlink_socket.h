// Flow: (internal) asks the kernel for a table by netlink, and gets all of it or an error
//
//   auto socket = NetlinkSocket::Open(NETLINK_SOCK_DIAG, /*namespace_path=*/"");
//   socket->Dump(absl::MakeSpan(request), limits, &sink);   // every tick
//
// A dump comes in pieces while the table changes. What is interrupted, cut off or overrun is asked
// for again, a bounded number of times; a socket with half an answer in it is replaced by a new one
// of the same namespace.
//
// Threads: one at a time. Cost: 32 KiB; allocates only when it opens a socket.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/internal/owned_fd.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Takes the messages of a dump.
class DumpSink {
 public:
  virtual void Restart() = 0;  // forget what came so far
  virtual void Take(std::uint16_t type, absl::Span<const char> payload) = 0;

 protected:
  ~DumpSink() = default;
};

struct DumpLimits {
  std::size_t messages = 200'000;
  std::chrono::nanoseconds time = std::chrono::milliseconds(50);
  int retries = 2;
};

class NetlinkSocket {
 public:
  // Larger than any datagram of a dump: the kernel makes them at most this large (32 KiB).
  static constexpr std::size_t kBufferBytes = 32768;
  using Connector = std::function<absl::StatusOr<OwnedFd>()>;

  // In the calling thread's network namespace where the path is empty.
  static absl::StatusOr<NetlinkSocket> Open(int protocol, const std::string& namespace_path);
  // Over what `connect` makes, at once and whenever a new socket is needed: for tests.
  static absl::StatusOr<NetlinkSocket> Open(Connector connect);

  // The request is one message; its sequence number is filled in here. Where the result is an error
  // the sink holds nothing of use.
  absl::Status Dump(absl::Span<char> request, const DumpLimits& limits, DumpSink* sink);

  // For ioctls in the socket's namespace; -1 after an error.
  int fd() const { return fd_.get(); }

 private:
  enum class Outcome : std::uint8_t { kDone, kRetry, kRetryOnNewSocket, kError };
  explicit NetlinkSocket(Connector connect);
  absl::Status Reconnect();
  Outcome Attempt(absl::Span<char> request, std::size_t max_messages,
                  std::chrono::steady_clock::time_point deadline, DumpSink* sink,
                  absl::Status* error);

  Connector connect_;
  OwnedFd fd_;
  std::uint32_t sequence_ = 0;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace internal
SEER_END_NAMESPACE
