#include "deployment.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace social {

const std::vector<Role>& Roles() {
  static const std::vector<Role> roles = {
      {"unique-id-service", Server::kNonblocking, 0},
      {"media-service", Server::kSimple, 0},
      {"url-shorten-service", Server::kThreaded, 0},
      {"user-mention-service", Server::kThreaded, 0},
      {"text-service", Server::kThreadPool, 64},
      {"user-service", Server::kThreaded, 0},
      {"social-graph-service", Server::kNonblockingPool, 8},
      {"post-storage-service", Server::kNonblockingPool, 16},
      {"user-timeline-service", Server::kNonblockingPool, 16},
      {"home-timeline-service", Server::kNonblockingPool, 16},
      {"search-service", Server::kThreadPool, 64},
      {"compose-post-service", Server::kNonblockingPool, 16},
      {kEntry, Server::kHttp, 0},
      {"write-home-timeline-service", Server::kConsumer, 4},
  };
  return roles;
}

const std::vector<Store>& Stores() {
  static const std::vector<Store> stores = {
      {"post-memcached", StoreKind::kMemcached}, {"user-memcached", StoreKind::kMemcached},
      {"social-graph-redis", StoreKind::kRedis}, {"timeline-redis", StoreKind::kRedis},
      {"search-redis", StoreKind::kRedis},       {"home-timeline-queue", StoreKind::kRedis},
      {"postgres", StoreKind::kPostgres},
  };
  return stores;
}

void Deployment::Announce(const std::string& name, int port) const { Write(name + ".port", port); }
int Deployment::Find(const std::string& name) const { return Read(name + ".port"); }
void Deployment::AnnouncePid(const std::string& name, int pid) const { Write(name + ".pid", pid); }
int Deployment::FindPid(const std::string& name) const { return Read(name + ".pid"); }

void Deployment::Write(const std::string& file, int number) const {
  const std::string path = directory_ + "/" + file;
  const std::string draft = path + ".new";  // renamed, so that no reader sees half a number
  {
    std::ofstream out(draft);
    out << number << '\n';
  }
  if (std::rename(draft.c_str(), path.c_str()) != 0) {
    throw std::runtime_error(path + ": cannot be written");
  }
}

int Deployment::Read(const std::string& file) const {
  std::ifstream in(directory_ + "/" + file);
  int number = 0;
  in >> number;
  return number;
}

int Deployment::Port(const std::string& name) const {
  for (int i = 0; i < 2000; ++i) {
    if (const int port = Find(name); port != 0) return port;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw std::runtime_error(name + " does not listen; see " + LogOf(name));
}

}  // namespace social
