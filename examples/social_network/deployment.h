// Who runs where: the services and stores of the social network, and on which port each listens.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace social {

enum class Server {
  kSimple,           // one connection at a time: callers connect for each call
  kThreaded,         // a thread for each connection
  kThreadPool,       // a worker for each connection
  kNonblocking,      // one thread, that also runs the handlers
  kNonblockingPool,  // requests of all connections wait for a worker
  kHttp,             // a thread for each connection; HTTP, so that nginx can stand before it
  kConsumer,         // no server: takes its requests out of a queue
};

struct Role {
  const char* name;
  Server server;
  std::size_t workers;  // of pools, and of the consumer
};
const std::vector<Role>& Roles();

enum class StoreKind { kMemcached, kRedis, kPostgres };

struct Store {
  const char* name;
  StoreKind kind;
};
const std::vector<Store>& Stores();

inline constexpr char kApplication[] = "social-network";
inline constexpr char kEntry[] = "web-service";  // where requests come in, behind nginx
inline constexpr char kFront[] = "nginx";        // where there is one
// How the instance of a service or store is called: each has one.
inline std::string InstanceOf(const std::string& name) { return name + "-0"; }

// The directory that all processes of one run share: what listens says there on which port.
class Deployment {
 public:
  explicit Deployment(std::string directory) : directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  std::string QueueDirectory() const { return directory_ + "/queues"; }
  std::string PasswordFile() const { return directory_ + "/postgres.password"; }
  std::string ControlSocket() const { return directory_ + "/control"; }
  std::string NewsFile() const { return directory_ + "/news"; }
  std::string LogOf(const std::string& name) const { return directory_ + "/" + name + ".log"; }

  // `name` listens on this port of the loopback interface.
  void Announce(const std::string& name, int port) const;
  // 0: not yet.
  int Find(const std::string& name) const;
  // The process that is `name`; 0: not yet.
  void AnnouncePid(const std::string& name, int pid) const;
  int FindPid(const std::string& name) const;
  // Waits for it. Throws std::runtime_error after 20 s.
  int Port(const std::string& name) const;

 private:
  void Write(const std::string& file, int number) const;
  int Read(const std::string& file) const;

  const std::string directory_;
};

}  // namespace social
