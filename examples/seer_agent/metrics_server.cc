#include "metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <ctime>
#include <utility>

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMaxClients = 16;
constexpr std::size_t kMaxRequestBytes = 8192;
constexpr auto kPatience = std::chrono::seconds(5);  // for one connection

timespec Until(SteadyClock::time_point time) {
  const auto left = std::max(time - SteadyClock::now(), SteadyClock::duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {static_cast<time_t>(seconds.count()),
          static_cast<long>(std::chrono::nanoseconds(left - seconds).count())};
}

// The value of a header, by its name in small letters; empty: it is not there.
std::string_view Header(std::string_view request, std::string_view name) {
  std::size_t line = request.find("\r\n");
  while (line != std::string_view::npos) {
    request.remove_prefix(line + 2);
    line = request.find("\r\n");
    const std::string_view text = request.substr(0, line);
    const bool is_it =
        text.size() > name.size() && text[name.size()] == ':' &&
        std::equal(name.begin(), name.end(), text.begin(), [](char want, char have) {
          return want == static_cast<char>(std::tolower(static_cast<unsigned char>(have)));
        });
    if (is_it) return text.substr(name.size() + 1);
  }
  return {};
}

}  // namespace

MetricsServer::~MetricsServer() {
  for (const Client& client : clients_) close(client.fd);
  if (listener_ >= 0) close(listener_);
}

absl::Status MetricsServer::Listen(std::uint16_t port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (bind(listener_, generic, size) != 0 || listen(listener_, kMaxClients) != 0 ||
      getsockname(listener_, generic, &size) != 0) {
    return absl::ErrnoToStatus(errno, "--listen: 127.0.0.1:" + std::to_string(port));
  }
  port_ = ntohs(address.sin_port);
  return absl::OkStatus();
}

bool MetricsServer::Poll(int stop_fd, SteadyClock::time_point until) {
  for (;;) {
    // Negative descriptors are left out by the kernel.
    pollfd polled[2 + kMaxClients];
    polled[0] = {stop_fd, POLLIN, 0};
    polled[1] = {clients_.size() < kMaxClients ? listener_ : -1, POLLIN, 0};
    auto next = until;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      const bool reading = clients_[i].answer.empty();
      polled[2 + i] = {clients_[i].fd, static_cast<short>(reading ? POLLIN : POLLOUT), 0};
      next = std::min(next, clients_[i].until);
    }
    const timespec timeout = Until(next);
    if (ppoll(polled, 2 + clients_.size(), &timeout, nullptr) < 0) polled[0].revents = 0;
    if (polled[0].revents != 0) return true;
    for (std::size_t i = clients_.size(); i-- > 0;) {
      const bool ready = polled[2 + i].revents != 0;
      if (ready ? Serve(clients_[i]) : SteadyClock::now() < clients_[i].until) continue;
      close(clients_[i].fd);
      clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (polled[1].revents != 0) Accept();
    if (SteadyClock::now() >= until) return false;
  }
}

void MetricsServer::Accept() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) clients_.push_back({fd, SteadyClock::now() + kPatience, "", "", 0});
}

bool MetricsServer::Serve(Client& client) {
  if (client.answer.empty()) {
    char buffer[2048];
    const ssize_t n = recv(client.fd, buffer, sizeof buffer, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    client.request.append(buffer, static_cast<std::size_t>(n));
    const bool complete = client.request.find("\r\n\r\n") != std::string::npos;
    if (!complete && client.request.size() < kMaxRequestBytes) return true;
    client.answer = complete ? Answer(client.request)
                             : "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";
  }
  const ssize_t n = send(client.fd, client.answer.data() + client.sent,
                         client.answer.size() - client.sent, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  client.sent += static_cast<std::size_t>(n);
  if (client.sent < client.answer.size()) return true;
  // Closing with unread bytes would reset the connection, and the answer be lost with it.
  shutdown(client.fd, SHUT_WR);
  char rest[4096];
  for (int i = 0; i < 16 && recv(client.fd, rest, sizeof rest, 0) > 0; ++i) {
  }
  return false;
}

std::string MetricsServer::Answer(std::string_view request) const {
  const std::string_view line = request.substr(0, request.find("\r\n"));
  const std::string_view method = line.substr(0, line.find(' '));
  std::string_view path = line.substr(std::min(line.size(), method.size() + 1));
  path = path.substr(0, path.find_first_of(" ?"));
  std::string status = "200 OK";
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  if (method != "GET" && method != "HEAD") {
    status = "405 Method Not Allowed";
    body = "GET only\n";
  } else if (path != "/metrics") {
    status = "404 Not Found";
    body = "seer-agent: the metrics are at /metrics\n";
  } else {
    page_(Header(request, "accept"), &type, &body);
  }
  std::string answer = "HTTP/1.1 " + status + "\r\nContent-Type: " + type +
                       "\r\nContent-Length: " + std::to_string(body.size()) +
                       "\r\nConnection: close\r\n\r\n";
  if (method != "HEAD") answer += body;
  return answer;
}
