#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace social {
namespace {

constexpr std::size_t kMostLine = 64 << 10;
constexpr std::size_t kMostBytes = 16 << 20;

}  // namespace

TcpStream::TcpStream(const std::string& name, int port) : name_(name) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) Fail(std::strerror(errno));
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  timeval patience = {10, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    ::close(socket_);
    Fail(std::string("cannot connect: ") + std::strerror(error));
  }
}

TcpStream::~TcpStream() { ::close(socket_); }

void TcpStream::Fail(const std::string& what) const { throw StoreError(name_ + ": " + what); }

void TcpStream::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) Fail(std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void TcpStream::Fill() {
  buffer_.erase(0, read_);
  read_ = 0;
  char bytes[16 << 10];
  ssize_t got;
  do {
    got = ::recv(socket_, bytes, sizeof bytes, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) Fail(std::strerror(errno));
  if (got == 0) Fail("closed the connection");
  buffer_.append(bytes, static_cast<std::size_t>(got));
}

std::string TcpStream::ReadLine() {
  std::size_t end;
  while ((end = buffer_.find("\r\n", read_)) == std::string::npos) {
    if (buffer_.size() - read_ > kMostLine) Fail("a line without an end");
    Fill();
  }
  std::string line = buffer_.substr(read_, end - read_);
  read_ = end + 2;
  return line;
}

std::string TcpStream::ReadBytes(std::size_t count) {
  if (count > kMostBytes) Fail("an answer of " + std::to_string(count) + " bytes");
  while (buffer_.size() - read_ < count) Fill();
  std::string bytes = buffer_.substr(read_, count);
  read_ += count;
  return bytes;
}

}  // namespace social
