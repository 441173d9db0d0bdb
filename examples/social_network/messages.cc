#include "messages.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

namespace social {
namespace {

// False: the path is longer than an address has room for.
bool AddressOf(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  errno = ENAMETOOLONG;
  if (path.size() >= sizeof address->sun_path) return false;
  path.copy(address->sun_path, path.size());
  return true;
}

int NewSocket() {
  const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int bytes = static_cast<int>(kMostMessage) * 2;
  if (socket >= 0) setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return socket;
}

// Nothing has come: an empty string with errno EAGAIN. The other side is gone: another errno.
std::string ReceiveFrom(int socket) {
  static thread_local std::vector<char> room(kMostMessage);
  const ssize_t got = ::recv(socket, room.data(), room.size(), MSG_DONTWAIT);
  if (got == 0) errno = ECONNRESET;
  return got <= 0 ? std::string() : std::string(room.data(), static_cast<std::size_t>(got));
}

bool SendTo(int socket, std::string_view message) {
  return ::send(socket, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool IsGone(int error) { return error != EAGAIN && error != EINTR && error != EMSGSIZE; }

}  // namespace

bool MessageClient::Connect() {
  if (connected()) return false;
  sockaddr_un address;
  if (!AddressOf(path_, &address)) return false;
  const int socket = NewSocket();
  if (socket < 0) return false;
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket);
    return false;
  }
  socket_ = socket;
  return true;
}

void MessageClient::Close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

bool MessageClient::Send(std::string_view message) {
  if (!connected()) return false;
  if (SendTo(socket_, message)) return true;
  if (IsGone(errno)) Close();
  return false;
}

std::optional<std::string> MessageClient::Receive() {
  if (!connected()) return std::nullopt;
  std::string message = ReceiveFrom(socket_);
  if (!message.empty()) return message;
  if (IsGone(errno)) Close();
  return std::nullopt;
}

MessageServer::MessageServer(const std::string& path) {
  sockaddr_un address;
  ::unlink(path.c_str());
  listener_ = NewSocket();
  if (listener_ < 0 || !AddressOf(path, &address) ||
      ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 16) != 0) {
    const int error = errno;
    if (listener_ >= 0) ::close(listener_);
    throw std::runtime_error(path + ": " + std::strerror(error));
  }
}

MessageServer::~MessageServer() {
  for (const auto& client : clients_) ::close(client.second);
  ::close(listener_);
}

bool MessageServer::Wait(int timeout_ms, const Take& take) {
  std::vector<pollfd> waiting = {{listener_, POLLIN, 0}};
  std::vector<int> numbers = {0};
  for (const auto& [number, socket] : clients_) {
    waiting.push_back({socket, POLLIN, 0});
    numbers.push_back(number);
  }
  if (::poll(waiting.data(), waiting.size(), timeout_ms) <= 0) return false;
  if (waiting[0].revents != 0) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    const int bytes = static_cast<int>(kMostMessage) * 2;
    if (socket >= 0) {
      setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
      clients_[next_++] = socket;
    }
  }
  bool any = false;
  for (std::size_t i = 1; i < waiting.size(); ++i) {
    if (waiting[i].revents == 0) continue;
    for (;;) {
      std::string message = ReceiveFrom(waiting[i].fd);
      if (!message.empty()) {
        any = true;
        take(numbers[i], std::move(message));
        continue;
      }
      if (IsGone(errno)) {
        ::close(waiting[i].fd);
        clients_.erase(numbers[i]);
      }
      break;
    }
  }
  return any;
}

bool MessageServer::Send(int client, std::string_view message) {
  const auto found = clients_.find(client);
  return found != clients_.end() && SendTo(found->second, message);
}

}  // namespace social
