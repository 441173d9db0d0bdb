// Messages between seer's processes of one machine: whole ones, over a socket in the file system.
//
// Nobody waits for anybody: what a receiver has no room for is lost, and a receiver that is gone is
// looked for again. So no process of the application notices when one of seer's dies.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace social {

inline constexpr std::size_t kMostMessage = 1 << 20;

class MessageClient {
 public:
  explicit MessageClient(std::string path) : path_(std::move(path)) {}
  ~MessageClient() { Close(); }
  MessageClient(const MessageClient&) = delete;
  MessageClient& operator=(const MessageClient&) = delete;

  // True: connected, after it was not. To be called now and then.
  bool Connect();
  bool connected() const { return socket_ >= 0; }
  int socket() const { return socket_; }
  bool Send(std::string_view message);
  // One that has come; nothing: there is none.
  std::optional<std::string> Receive();

 private:
  void Close();

  const std::string path_;
  int socket_ = -1;
};

class MessageServer {
 public:
  // Throws std::runtime_error. What an earlier life has left of the path is removed.
  explicit MessageServer(const std::string& path);
  ~MessageServer();
  MessageServer(const MessageServer&) = delete;
  MessageServer& operator=(const MessageServer&) = delete;

  // Waits for messages, at most so long, and hands each to `take` with its client's number. True:
  // there was one.
  using Take = std::function<void(int client, std::string message)>;
  bool Wait(int timeout_ms, const Take& take);
  bool Send(int client, std::string_view message);

 private:
  int listener_ = -1;
  std::map<int, int> clients_;  // sockets, by number
  int next_ = 1;
};

}  // namespace social
