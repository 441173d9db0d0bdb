// Flow: kernel -> [TracedServerSocket] -> kReceived of each request
//
// When did a request reach this machine, and how long did it lie in the socket until the
// application looked? The kernel knows: it stamps what it receives. A server on one of these
// sockets has that stamp as kReceived in every span, and the moment when the application saw the
// request as kDequeued. What lies between is the socket's queue: a request behind a call of 50 ms
// shows its 50 ms there, whether on the same connection or on another one of the same thread.
//
//   auto socket = std::make_shared<seer::TracedServerSocket>(9090);                 // blocking
//   auto socket = std::make_shared<seer::TracedNonblockingServerSocket>(9090);      // nonblocking
//
// They are Thrift's, and take its arguments; all options work. Needs no privileges. The stamp is
// that of the last byte that a read brought, so that a slow sender is not taken for a queue. It is
// the time of the kernel's entry, not of the network card.
//
// Opt-in, as each read then costs a larger system call. TLS sockets have no such stamps: bytes and
// requests differ there. Where the kernel gives no stamp (Unix sockets), kReceived is as without.
//
// Threads: as Thrift's. Cost: below 0.2 us a read.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <utility>

#include <thrift/transport/TNonblockingServerSocket.h>
#include <thrift/transport/TServerSocket.h>
#include <thrift/transport/TSocket.h>
#include <thrift/transport/TTransportException.h>
#include <thrift/transport/TVirtualTransport.h>

#include "seer/core/config.h"
#include "seer/thrift/internal/arrival.h"

SEER_BEGIN_NAMESPACE

namespace internal {

// Asks the kernel for stamps. On a listening socket: for those of its connections, from their first
// byte on. A kernel that refuses gives none; the socket works as well.
inline void AskForStamps(int socket) noexcept {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
}

// The raw stamp of a moment of CLOCK_REALTIME that has just passed; 0: it makes no sense (the clock
// was set).
inline std::uint64_t RawStampOf(const timespec& moment) noexcept {
  struct Rate {
    double stamps_per_ns;
    Rate() {
      constexpr std::uint64_t kStamps = std::uint64_t{1} << 32;
      const TscClock& clock = StampClock();
      const std::uint64_t now = clock.Stamp();
      stamps_per_ns = static_cast<double>(kStamps) /
                      static_cast<double>(clock.ToUnixNs(now + kStamps) - clock.ToUnixNs(now));
    }
  };
  static const Rate rate;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t passed_ns =
      (now.tv_sec - moment.tv_sec) * std::int64_t{1'000'000'000} + (now.tv_nsec - moment.tv_nsec);
  constexpr std::int64_t kMost = std::int64_t{600} * 1'000'000'000;
  if (passed_ns < 0 || passed_ns > kMost) return 0;
  return StampClock().Stamp() -
         static_cast<std::uint64_t>(static_cast<double>(passed_ns) * rate.stamps_per_ns);
}

// A connection whose reads leave the kernel's stamp with the thread (arrival.h).
class StampedSocket final : public apache::thrift::transport::TSocket {
 public:
  StampedSocket(THRIFT_SOCKET socket, std::shared_ptr<THRIFT_SOCKET> interrupt_listener)
      : TSocket(socket, std::move(interrupt_listener)) {}
  explicit StampedSocket(THRIFT_SOCKET socket) : TSocket(socket) {}
  ~StampedSocket() override { Forget(); }

  void close() override {
    Forget();
    TSocket::close();
  }

  // As TSocket's, with recvmsg in the place of recv: it waits for the listener that interrupts it,
  // tries again what TSocket tries again, and says the same of what it cannot do.
  std::uint32_t read(std::uint8_t* buffer, std::uint32_t size) override {
    using apache::thrift::transport::TTransportException;
    if (socket_ == THRIFT_INVALID_SOCKET) {
      throw TTransportException(TTransportException::NOT_OPEN, "Called read on non-open socket");
    }
    for (int tries = 0;; ++tries) {
      if (interruptListener_ != nullptr) AwaitData();
      const std::int64_t got = Receive(buffer, size);
      if (got >= 0) return static_cast<std::uint32_t>(got);
      const int error = errno;
      if (error == EINTR && tries < maxRecvRetries_) continue;
      if (error == EAGAIN) {
        // As TSocket: out of resources where no timeout is set, else timed out.
        if (recvTimeout_ == 0) {
          throw TTransportException(TTransportException::TIMED_OUT,
                                    "THRIFT_EAGAIN (unavailable resources)");
        }
        throw TTransportException(TTransportException::TIMED_OUT, "THRIFT_EAGAIN (timed out)");
      }
      if (error == ECONNRESET) return 0;
      if (error == ENOTCONN) {
        throw TTransportException(TTransportException::NOT_OPEN, "THRIFT_ENOTCONN");
      }
      if (error == ETIMEDOUT) {
        throw TTransportException(TTransportException::TIMED_OUT, "THRIFT_ETIMEDOUT");
      }
      throw TTransportException(TTransportException::UNKNOWN, "Unknown", error);
    }
  }

 private:
  // Waits for bytes, or for the server to stop.
  void AwaitData() {
    using apache::thrift::transport::TTransportException;
    for (int tries = 0;; ++tries) {
      pollfd fds[2] = {};
      fds[0].fd = socket_;
      fds[0].events = POLLIN;
      fds[1].fd = *interruptListener_;
      fds[1].events = POLLIN;
      const int ready = poll(fds, 2, recvTimeout_ == 0 ? -1 : recvTimeout_);
      if (ready < 0) {
        const int error = errno;
        if (error == EINTR && tries < maxRecvRetries_) continue;
        throw TTransportException(TTransportException::UNKNOWN, "Unknown", error);
      }
      if (ready == 0) {
        throw TTransportException(TTransportException::TIMED_OUT, "THRIFT_EAGAIN (timed out)");
      }
      if ((fds[1].revents & POLLIN) != 0) {
        throw TTransportException(TTransportException::INTERRUPTED, "Interrupted");
      }
      return;
    }
  }

  std::int64_t Receive(std::uint8_t* buffer, std::uint32_t size) noexcept {
    iovec bytes{buffer, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(timespec))];
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(socket_, &message, 0);
    if (got <= 0) return got;
    std::uint64_t stamp = 0;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
        timespec moment;
        std::memcpy(&moment, CMSG_DATA(part), sizeof(moment));
        stamp = RawStampOf(moment);
      }
    }
    arrival.received = stamp;
    arrival.socket = this;
    return got;
  }

  // What comes next on this thread is of another connection.
  void Forget() const noexcept {
    if (arrival.socket == this) arrival = Arrival();
  }
};

}  // namespace internal

// For TSimpleServer, TThreadedServer, TThreadPoolServer.
class TracedServerSocket : public apache::thrift::transport::TServerSocket {
 public:
  using TServerSocket::TServerSocket;

  void listen() override {
    TServerSocket::listen();
    internal::AskForStamps(getSocketFD());
    internal::StampClock();  // calibrates now, not with the first request
  }

 protected:
  std::shared_ptr<apache::thrift::transport::TSocket> createSocket(THRIFT_SOCKET client) override {
    internal::AskForStamps(client);
    if (interruptableChildren_) {
      return std::make_shared<internal::StampedSocket>(client, pChildInterruptSockReader_);
    }
    return std::make_shared<internal::StampedSocket>(client);
  }
};

// For TNonblockingServer.
class TracedNonblockingServerSocket : public apache::thrift::transport::TNonblockingServerSocket {
 public:
  using TNonblockingServerSocket::TNonblockingServerSocket;

  void listen() override {
    TNonblockingServerSocket::listen();
    internal::AskForStamps(getSocketFD());
    internal::StampClock();
  }

 protected:
  std::shared_ptr<apache::thrift::transport::TSocket> createSocket(THRIFT_SOCKET client) override {
    internal::AskForStamps(client);
    return std::make_shared<internal::StampedSocket>(client);
  }
};

SEER_END_NAMESPACE
