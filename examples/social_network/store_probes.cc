#include "store_probes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace social {
namespace {

using std::chrono::steady_clock;

struct Depths {
  std::optional<std::uint32_t> queued, running;
};

// One server that is asked, and answers or not.
class Asked {
 public:
  explicit Asked(std::string name) : name_(std::move(name)) {}
  virtual ~Asked() = default;
  const std::string& name() const { return name_; }
  // Sends the question, unless one is under way. Below 0: there is nobody to wait for.
  virtual int Ask() = 0;
  // Takes what has come; the depths, once they are known.
  virtual std::optional<Depths> Take() = 0;

 private:
  const std::string name_;
};

// The number behind `key` in a text.
std::optional<std::uint32_t> NumberAfter(const std::string& text, const std::string& key) {
  const std::size_t at = text.find(key);
  if (at == std::string::npos) return std::nullopt;
  return static_cast<std::uint32_t>(std::strtoul(text.c_str() + at + key.size(), nullptr, 10));
}

std::uint32_t LessOne(std::uint32_t number) { return number > 0 ? number - 1 : 0; }

// Servers with a text protocol: a question, and an answer that is recognised by its end.
class AskedByText : public Asked {
 public:
  using Read = std::optional<Depths> (*)(const std::string& answer);
  AskedByText(std::string name, int port, std::string question, Read read)
      : Asked(std::move(name)), port_(port), question_(std::move(question)), read_(read) {}
  ~AskedByText() override { Close(); }

  int Ask() override {
    if (socket_ < 0) Connect();
    if (socket_ < 0 || asked_) return socket_;
    // While it connects there is no room yet: at the next tick then.
    asked_ = ::send(socket_, question_.data(), question_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
             static_cast<ssize_t>(question_.size());
    if (!asked_ && errno != EAGAIN && errno != ENOTCONN) Close();
    return asked_ ? socket_ : -1;
  }
  std::optional<Depths> Take() override {
    char bytes[4096];
    ssize_t got;
    while (socket_ >= 0 && (got = ::recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT)) != 0) {
      if (got < 0) break;
      answer_.append(bytes, static_cast<std::size_t>(got));
    }
    if (socket_ < 0) return std::nullopt;
    if (got == 0 || (got < 0 && errno != EAGAIN) || answer_.size() > (1 << 20)) {
      Close();
      return std::nullopt;
    }
    auto depths = read_(answer_);
    if (!depths) return std::nullopt;  // not all of it has come
    answer_.clear();
    asked_ = false;
    return depths;
  }

 private:
  void Connect() {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    if (socket_ >= 0 && ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) &&
        errno != EINPROGRESS) {
      Close();
    }
  }
  void Close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
    asked_ = false;
    answer_.clear();
  }

  const int port_;
  const std::string question_;
  const Read read_;
  int socket_ = -1;
  bool asked_ = false;
  std::string answer_;
};

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::optional<Depths> ReadMemcached(const std::string& answer) {
  if (!EndsWith(answer, "END\r\n")) return std::nullopt;
  Depths depths;
  const auto responses = NumberAfter(answer, "STAT response_obj_count ");
  if (responses) depths.running = LessOne(*responses);  // one is this answer
  return depths;
}

// A bulk string: one line for each client. "qbuf=26" are bytes of commands that wait.
std::optional<Depths> ReadRedis(const std::string& answer) {
  const auto bytes = NumberAfter(answer, "$");
  const std::size_t begin = answer.find("\r\n");
  if (!bytes || begin == std::string::npos || answer.size() < begin + 2 + *bytes + 2) {
    return std::nullopt;
  }
  std::uint32_t waiting = 0;
  for (std::size_t at = begin; (at = answer.find(" qbuf=", at)) != std::string::npos; ++at) {
    waiting += answer[at + 6] != '0' ? 1 : 0;
  }
  Depths depths;
  depths.queued = LessOne(waiting);  // one is this question
  return depths;
}

std::optional<Depths> ReadLength(const std::string& answer) {
  if (!EndsWith(answer, "\r\n")) return std::nullopt;
  Depths depths;
  depths.queued = NumberAfter(answer, ":");
  return depths;
}

// "Reading: 0 Writing: 1 Waiting: 2 "
std::optional<Depths> ReadNginx(const std::string& answer) {
  const auto writing = NumberAfter(answer, "Writing: ");
  if (!writing || answer.find("Waiting: ") == std::string::npos) return std::nullopt;
  Depths depths;
  depths.running = LessOne(*writing);  // one is this answer
  return depths;
}

class AskedPostgres : public Asked {
 public:
  AskedPostgres(std::string name, const Deployment& deployment) : Asked(std::move(name)) {
    std::string password;
    std::ifstream(deployment.PasswordFile()) >> password;
    where_ = "host=127.0.0.1 port=" + std::to_string(deployment.Find(this->name())) +
             " user=social dbname=postgres connect_timeout=2 password=" + password;
  }
  ~AskedPostgres() override { PQfinish(pq_); }

  int Ask() override {
    if (pq_ == nullptr) {
      pq_ = PQconnectdb(where_.c_str());
      PQsetnonblocking(pq_, 1);
    }
    if (PQstatus(pq_) != CONNECTION_OK) {
      PQfinish(pq_);
      pq_ = nullptr;
      asked_ = false;
      return -1;
    }
    if (!asked_) {
      asked_ = PQsendQuery(pq_,
                           "SELECT count(*) FILTER (WHERE wait_event_type IN "
                           "('Lock', 'LWLock', 'IO', 'BufferPin')), count(*) FROM pg_stat_activity "
                           "WHERE state = 'active' AND pid <> pg_backend_pid()") == 1;
      PQflush(pq_);
    }
    return PQsocket(pq_);
  }
  std::optional<Depths> Take() override {
    if (pq_ == nullptr || PQconsumeInput(pq_) == 0 || PQisBusy(pq_) != 0) return std::nullopt;
    std::optional<Depths> depths;
    while (PGresult* const result = PQgetResult(pq_)) {
      if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        depths.emplace();
        depths->queued = static_cast<std::uint32_t>(std::atoi(PQgetvalue(result, 0, 0)));
        depths->running = static_cast<std::uint32_t>(std::atoi(PQgetvalue(result, 0, 1)));
      }
      PQclear(result);
    }
    asked_ = false;
    return depths;
  }

 private:
  std::string where_;
  PGconn* pq_ = nullptr;
  bool asked_ = false;
};

class StoreProbe final : public seer::DepthProbe {
 public:
  explicit StoreProbe(std::vector<std::unique_ptr<Asked>> asked) : asked_(std::move(asked)) {}

  std::string_view name() const override { return "stores"; }
  seer::ChannelMask channels() const override {
    return seer::ChannelMask::Of(seer::Channel::kQueued, seer::Channel::kRunning);
  }

  absl::Status Sample(const seer::Topology& topology, seer::Snapshot* snapshot) override {
    std::vector<pollfd> waiting(asked_.size());
    for (std::size_t i = 0; i < asked_.size(); ++i) waiting[i] = {asked_[i]->Ask(), POLLIN, 0};
    const auto deadline = steady_clock::now() + std::chrono::milliseconds(5);
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - steady_clock::now() + std::chrono::microseconds(999));
      const bool open = std::any_of(waiting.begin(), waiting.end(),
                                    [](const pollfd& each) { return each.fd >= 0; });
      if (!open || left.count() <= 0) break;
      if (::poll(waiting.data(), waiting.size(), static_cast<int>(left.count())) <= 0) break;
      for (std::size_t i = 0; i < asked_.size(); ++i) {
        if (waiting[i].revents == 0) continue;
        const auto depths = asked_[i]->Take();
        if (depths) Fill(topology, *asked_[i], *depths, snapshot);
        if (depths || (waiting[i].revents & (POLLERR | POLLHUP)) != 0) waiting[i].fd = -1;
      }
    }
    return absl::OkStatus();
  }

 private:
  static void Fill(const seer::Topology& topology, const Asked& asked, const Depths& depths,
                   seer::Snapshot* snapshot) {
    const auto service = topology.FindService(asked.name());
    if (!service) return;
    const auto instance = topology.FindInstance(*service, InstanceOf(asked.name()));
    if (!instance) return;
    const auto set = [&](seer::Channel channel, const std::optional<std::uint32_t>& depth) {
      if (!depth || snapshot->instances.coverage(*instance).Has(channel)) return;
      seer::ChannelSample sample;
      sample.depth = *depth;
      snapshot->instances.Set(*instance, channel, sample);
    };
    set(seer::Channel::kQueued, depths.queued);
    set(seer::Channel::kRunning, depths.running);
  }

  const std::vector<std::unique_ptr<Asked>> asked_;
};

}  // namespace

std::unique_ptr<seer::DepthProbe> MakeStoreProbe(const Deployment& deployment) {
  std::vector<std::unique_ptr<Asked>> asked;
  const auto text = [&](const char* name, const char* question, AskedByText::Read read) {
    asked.push_back(std::make_unique<AskedByText>(name, deployment.Find(name), question, read));
  };
  for (const Store& store : Stores()) {
    if (store.kind == StoreKind::kMemcached) text(store.name, "stats\r\n", ReadMemcached);
    if (store.kind == StoreKind::kPostgres) {
      asked.push_back(std::make_unique<AskedPostgres>(store.name, deployment));
    }
    if (store.kind != StoreKind::kRedis) continue;
    if (std::string(store.name) == "home-timeline-queue") {
      text(store.name, "LLEN queue\r\n", ReadLength);
    } else {
      text(store.name, "CLIENT LIST TYPE normal\r\n", ReadRedis);
    }
  }
  if (deployment.Find(kFront) != 0) {
    text(kFront, "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", ReadNginx);
  }
  return std::make_unique<StoreProbe>(std::move(asked));
}

}  // namespace social
