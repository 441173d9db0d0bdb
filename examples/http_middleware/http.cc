#include "http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace example {

namespace {

constexpr std::size_t kMaxHead = 16 << 10;
constexpr std::size_t kMaxBody = 64 << 10;

bool SendAll(int socket, const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

// First line, headers, body.
bool ReadMessage(int socket, std::string* first, std::map<std::string, std::string>* headers,
                 std::string* body) {
  std::string bytes;
  std::size_t head = std::string::npos;
  char buffer[4096];
  while ((head = bytes.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t n = recv(socket, buffer, sizeof buffer, 0);
    if (n <= 0 || bytes.size() > kMaxHead) return false;
    bytes.append(buffer, static_cast<std::size_t>(n));
  }
  std::size_t line = bytes.find("\r\n");
  *first = bytes.substr(0, line);
  while (line < head) {
    const std::size_t begin = line + 2;
    line = bytes.find("\r\n", begin);
    const std::size_t colon = bytes.find(':', begin);
    if (colon >= line) return false;
    std::string name = bytes.substr(begin, colon - begin);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::size_t value = bytes.find_first_not_of(' ', colon + 1);
    (*headers)[name] = bytes.substr(value, line - std::min(value, line));
  }
  const auto length = headers->find("content-length");
  const std::size_t wanted =
      length == headers->end() ? 0 : std::strtoul(length->second.c_str(), nullptr, 10);
  if (wanted > kMaxBody) return false;
  *body = bytes.substr(head + 4);
  while (body->size() < wanted) {
    const ssize_t n = recv(socket, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    body->append(buffer, static_cast<std::size_t>(n));
  }
  return true;
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

bool ReadRequest(int socket, HttpRequest* request) {
  std::string first;
  if (!ReadMessage(socket, &first, &request->headers, &request->body)) return false;
  const std::size_t path = first.find(' ');
  const std::size_t version = first.rfind(" HTTP/1.");
  if (path == std::string::npos || version == std::string::npos || version <= path) return false;
  request->method = first.substr(0, path);
  request->path = first.substr(path + 1, version - path - 1);
  return true;
}

bool WriteReply(int socket, const HttpReply& reply) {
  return SendAll(socket, "HTTP/1.1 " + std::to_string(reply.status) +
                             " -\r\nContent-Length: " + std::to_string(reply.body.size()) +
                             "\r\nConnection: close\r\n\r\n" + reply.body);
}

HttpReply Call(int port, const HttpRequest& request) {
  HttpReply reply;
  reply.status = 0;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return reply;
  const sockaddr_in address = Loopback(port);
  std::string head = request.method + " " + request.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  for (const auto& [name, value] : request.headers) head += name + ": " + value + "\r\n";
  head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n\r\n";
  std::string first;
  std::map<std::string, std::string> headers;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      SendAll(fd, head + request.body) && ReadMessage(fd, &first, &headers, &reply.body) &&
      first.size() > 9) {
    reply.status = std::atoi(first.c_str() + 9);
  }
  close(fd);
  return reply;
}

Listener Listen() {
  Listener listener;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 64) != 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    if (fd >= 0) close(fd);
    return listener;
  }
  listener.socket = fd;
  listener.port = ntohs(address.sin_port);
  return listener;
}

}  // namespace example
