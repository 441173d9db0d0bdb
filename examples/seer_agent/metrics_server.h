// The smallest HTTP server that a scraper is content with: GET /metrics on the local host.
//
// No thread of its own: Poll() waits for whatever happens next and answers what has come. Bounded
// in every way: so many connections, so many bytes of a request, so long for all of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

class MetricsServer {
 public:
  // The page for a request with this Accept header, and its content type.
  using Page = std::function<void(std::string_view accept, std::string* type, std::string* body)>;

  explicit MetricsServer(Page page) : page_(std::move(page)) {}
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // On 127.0.0.1; port 0: any that is free.
  absl::Status Listen(std::uint16_t port);
  std::uint16_t port() const { return port_; }

  // Serves until `until`, or until `stop_fd` is readable: true then.
  bool Poll(int stop_fd, std::chrono::steady_clock::time_point until);

 private:
  struct Client {
    int fd;
    std::chrono::steady_clock::time_point until;
    std::string request;
    std::string answer;  // empty: the request is not complete
    std::size_t sent = 0;
  };
  void Accept();
  // False: the connection is done with.
  bool Serve(Client& client);
  std::string Answer(std::string_view request) const;

  const Page page_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::vector<Client> clients_;
};
