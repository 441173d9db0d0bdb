#include "http_post.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace example {

namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxReply = 64 << 10;

absl::Status Unavailable(const Url& url, const std::string& why) {
  return absl::UnavailableError(url.host + ":" + url.port + ": " + why);
}

// False: the time is over.
bool WaitFor(int fd, short events, Steady::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Steady::now()).count();
    if (left <= 0) return false;
    pollfd one = {fd, events, 0};
    const int ready = poll(&one, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

absl::StatusOr<int> Connect(const Url& url, Steady::time_point deadline) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found);
  if (error != 0) return Unavailable(url, std::string("no such host: ") + gai_strerror(error));
  std::string why = "no address";
  int connected = -1;
  for (const addrinfo* a = found; a != nullptr && connected < 0; a = a->ai_next) {
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) continue;
    int wrong = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (wrong == EINPROGRESS) {
      socklen_t size = sizeof wrong;
      if (!WaitFor(fd, POLLOUT, deadline)) {
        wrong = ETIMEDOUT;
      } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &wrong, &size) != 0) {
        wrong = errno;
      }
    }
    if (wrong == 0) {
      connected = fd;
    } else {
      why = std::string("cannot connect: ") + std::strerror(wrong);
      close(fd);
    }
  }
  freeaddrinfo(found);
  if (connected < 0) return Unavailable(url, why);
  return connected;
}

absl::Status Talk(int fd, const Url& url, const std::string& request, Steady::time_point deadline) {
  for (std::size_t sent = 0; sent < request.size();) {
    if (!WaitFor(fd, POLLOUT, deadline)) return Unavailable(url, "took no data in time");
    const ssize_t n = send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno != EAGAIN && errno != EINTR) {
      return Unavailable(url, std::string("cannot send: ") + std::strerror(errno));
    }
  }
  std::string reply;
  char buffer[4096];
  while (reply.size() < kMaxReply) {  // to the end: "Connection: close"
    if (!WaitFor(fd, POLLIN, deadline)) {
      if (reply.find("\r\n\r\n") != std::string::npos) break;
      return Unavailable(url, "did not answer in time");
    }
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n == 0) break;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return Unavailable(url, std::string("cannot receive: ") + std::strerror(errno));
    reply.append(buffer, static_cast<std::size_t>(n));
  }
  const std::string line = reply.substr(0, reply.find("\r\n"));
  if (line.compare(0, 7, "HTTP/1.") != 0 || line.size() < 12) {
    return Unavailable(url, "does not speak HTTP/1.1; OTLP over gRPC has another port");
  }
  const int status = std::atoi(line.c_str() + 9);
  if (status >= 200 && status < 300) return absl::OkStatus();
  const std::string said = "POST " + url.path + ": the collector answered " + line.substr(9);
  if (status == 429 || status == 502 || status == 503 || status == 504) {
    return Unavailable(url, said);
  }
  return absl::InvalidArgumentError(url.host + ":" + url.port + ": " + said);
}

}  // namespace

absl::StatusOr<Url> ParseUrl(const std::string& url) {
  const std::string scheme = "http://";
  if (url.compare(0, scheme.size(), scheme) != 0) {
    return absl::InvalidArgumentError(
        "\"" + url + "\" does not begin with http:// (TLS is beyond " + "this example)");
  }
  Url parsed;
  const std::size_t slash = url.find('/', scheme.size());
  std::string host = url.substr(
      scheme.size(), slash == std::string::npos ? std::string::npos : slash - scheme.size());
  parsed.path = slash == std::string::npos ? "/v1/traces" : url.substr(slash);
  if (parsed.path == "/") parsed.path = "/v1/traces";
  const std::size_t bracket = host.find(']');
  const std::size_t colon = host.find(':', bracket == std::string::npos ? 0 : bracket);
  parsed.port = colon == std::string::npos ? "4318" : host.substr(colon + 1);
  parsed.host = host.substr(0, colon);
  if (bracket != std::string::npos && parsed.host.size() > 2 && parsed.host[0] == '[') {
    parsed.host = parsed.host.substr(1, bracket - 1);
  }
  const bool digits = parsed.port.find_first_not_of("0123456789") == std::string::npos;
  if (parsed.host.empty() || parsed.port.empty() || !digits ||
      url.find_first_of(" \r\n\t") != std::string::npos) {
    return absl::InvalidArgumentError("\"" + url + "\" is not of the form http://host:port/path");
  }
  return parsed;
}

absl::Status Post(const Url& url, const std::string& content_type, const std::string& body,
                  std::chrono::milliseconds timeout) {
  const Steady::time_point deadline = Steady::now() + timeout;
  const absl::StatusOr<int> fd = Connect(url, deadline);
  if (!fd.ok()) return fd.status();
  const bool v6 = url.host.find(':') != std::string::npos;
  const std::string request =
      "POST " + url.path + " HTTP/1.1\r\nHost: " + (v6 ? "[" + url.host + "]" : url.host) + ":" +
      url.port + "\r\nContent-Type: " + content_type +
      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
  const absl::Status talked = Talk(*fd, url, request, deadline);
  close(*fd);
  return talked;
}

}  // namespace example
