#include "store_processes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "interrupted.h"
#include "stores.h"

namespace social {
namespace {

namespace fs = std::filesystem;

// PostgreSQL refuses to run as root, and the others need not.
std::string UserOf(StoreKind kind) {
  if (kind == StoreKind::kPostgres && getpwnam("postgres") != nullptr) return "postgres";
  return "nobody";
}

std::string DataOf(const Store& store, const Deployment& deployment) {
  return deployment.directory() + "/" + store.name;
}

// A database without tables, with a password that only this run knows.
void InitPostgres(const Store& store, const Deployment& deployment, const std::string& program) {
  {
    std::ofstream file(deployment.PasswordFile());
    fs::permissions(deployment.PasswordFile(), fs::perms::owner_read | fs::perms::owner_write);
    std::random_device random;
    for (int i = 0; i < 4; ++i) file << std::hex << random();
    file << '\n';
  }
  const std::string user = UserOf(store.kind);
  GiveTo(user, deployment.PasswordFile());
  Command command;
  command.name = "initdb";
  command.words = {fs::path(program).parent_path().string() + "/initdb",
                   "-D",
                   DataOf(store, deployment),
                   "-U",
                   "social",
                   "--pwfile=" + deployment.PasswordFile(),
                   "--auth=scram-sha-256",
                   "--encoding=UTF8",
                   "--no-locale",
                   "--no-sync"};
  command.log = deployment.LogOf(command.name);
  command.user = user;
  if (RunToEnd(command) != 0) {
    throw std::runtime_error("initdb failed:\n" + TailOf(command.log));
  }
}

Command CommandFor(const Store& store, const Deployment& deployment, int port) {
  const std::string number = std::to_string(port);
  Command command;
  command.name = store.name;
  command.log = deployment.LogOf(store.name);
  command.user = UserOf(store.kind);
  command.words = {ProgramOf(store.kind)};
  std::vector<std::string> more;
  switch (store.kind) {
    case StoreKind::kMemcached:
      more = {"-l", "127.0.0.1", "-p", number, "-U", "0", "-m", "64", "-t", "2"};
      break;
    case StoreKind::kRedis:
      more = {"--bind", "127.0.0.1",    "--port", number,  "--save",
              "",       "--appendonly", "no",     "--dir", DataOf(store, deployment)};
      break;
    case StoreKind::kPostgres:
      // The memory that its processes share is in the directory too: nothing is left of it.
      more = {"-D", DataOf(store, deployment), "-p", number};
      for (const char* setting :
           {"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300",
            "shared_buffers=32MB", "dynamic_shared_memory_type=mmap", "synchronous_commit=off"}) {
        more.insert(more.end(), {"-c", setting});
      }
      command.end_signal = SIGQUIT;  // at once, but its own processes end with it
      break;
  }
  command.words.insert(command.words.end(), more.begin(), more.end());
  return command;
}

// False: it has ended.
bool ComesUp(const Store& store, const Deployment& deployment, int port, Processes* processes) {
  for (int i = 0; i < 1500; ++i) {
    if (Answers(store, deployment, port)) return true;
    if (Interrupted()) throw std::runtime_error("interrupted");
    if (const auto ended = processes->Ended()) {
      if (*ended == store.name) return false;
      throw std::runtime_error(*ended + " has ended:\n" + TailOf(deployment.LogOf(*ended)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  processes->EndLast();
  return false;
}

}  // namespace

int FreePort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool bound = bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(socket);
  if (!bound) throw std::runtime_error("there is no free port on 127.0.0.1");
  return ntohs(address.sin_port);
}

std::string ProgramOf(StoreKind kind) {
  std::vector<std::string> places;
  if (kind == StoreKind::kMemcached) places = {"/usr/bin/memcached", "/usr/local/bin/memcached"};
  if (kind == StoreKind::kRedis) places = {"/usr/bin/redis-server", "/usr/local/bin/redis-server"};
  if (kind == StoreKind::kPostgres) {
    std::error_code none;
    for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", none)) {
      places.push_back(version.path().string() + "/bin/postgres");
    }
    places.insert(places.end(), {"/usr/bin/postgres", "/usr/local/bin/postgres"});
  }
  for (const std::string& place : places) {
    if (access(place.c_str(), X_OK) == 0) return place;
  }
  return "";
}

void StartStores(const Deployment& deployment, Processes* processes) {
  for (const StoreKind kind : {StoreKind::kMemcached, StoreKind::kRedis, StoreKind::kPostgres}) {
    if (ProgramOf(kind).empty()) {
      throw std::runtime_error(
          "memcached, redis or PostgreSQL is not installed: "
          "sudo apt install memcached redis-server postgresql");
    }
  }
  for (const Store& store : Stores()) {
    if (store.kind != StoreKind::kMemcached) {
      fs::create_directory(DataOf(store, deployment));
      fs::permissions(DataOf(store, deployment), fs::perms::owner_all);
      GiveTo(UserOf(store.kind), DataOf(store, deployment));
    }
    if (store.kind == StoreKind::kPostgres) {
      InitPostgres(store, deployment, ProgramOf(store.kind));
    }
    bool up = false;
    for (int attempt = 0; attempt < 3 && !up; ++attempt) {
      const int port = FreePort();
      const pid_t pid = processes->Start(CommandFor(store, deployment, port));
      up = ComesUp(store, deployment, port, processes);
      if (up) {
        deployment.AnnouncePid(store.name, pid);
        deployment.Announce(store.name, port);
      }
    }
    if (!up) {
      throw std::runtime_error(std::string(store.name) + " does not start:\n" +
                               TailOf(deployment.LogOf(store.name)));
    }
  }
}

}  // namespace social
