// The stores as their users see them: few operations, each one a call that seer traces. Their own
// servers are not changed; that a store is slow shows in the calls that are open to it.
//
// All operations throw StoreError, from any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deployment.h"
#include "pool.h"
#include "seer/trace/rpc_scope.h"
#include "tcp.h"

namespace social {

// Who calls which store.
struct Use {
  const Deployment& deployment;
  std::string caller;
  std::string store;

  seer::CalledRpc Method(const char* name) const;
};

// memcached. Keys of at most 250 bytes without spaces.
class Cache {
 public:
  explicit Cache(const Use& use);

  // Those that are there.
  std::map<std::string, std::string> Get(const std::vector<std::string>& keys);
  std::optional<std::string> Get(const std::string& key);
  void Set(const std::string& key, std::string_view value);

 private:
  Pool<TcpStream> pool_;
  const seer::CalledRpc get_, set_;
};

// redis: sets of members with a score (in their order), and lists as queues.
class Sets {
 public:
  explicit Sets(const Use& use);

  void Add(const std::string& set, std::int64_t member, std::int64_t score);
  // To many sets at once; each keeps its `most` highest members.
  void AddToAll(const std::vector<std::string>& sets, std::int64_t member, std::int64_t score,
                std::size_t most);
  void Remove(const std::string& set, std::int64_t member);
  // Highest scores first: `count` of them, after the first `skip`.
  std::vector<std::int64_t> Highest(const std::string& set, std::size_t skip, std::size_t count);
  // Those in all the sets, highest scores first.
  std::vector<std::int64_t> InAll(const std::vector<std::string>& sets, std::size_t count);

 private:
  Pool<TcpStream> pool_;
  const seer::CalledRpc add_, remove_, range_, intersect_;
};

// redis: a queue between services.
class WorkQueue {
 public:
  explicit WorkQueue(const Use& use);

  void Push(std::string_view message);
  // Waits for a message, for at most a second.
  std::optional<std::string> Pop();

 private:
  Pool<TcpStream> pool_;
  const seer::CalledRpc push_;
};

// PostgreSQL.
class Database {
 public:
  using Row = std::vector<std::string>;  // NULL: empty
  struct Connection;                     // libpq's

  // `methods`: the names under which Query() is called.
  Database(const Use& use, std::initializer_list<const char*> methods);
  ~Database();

  // Runs one statement. $1, $2, ... are the arguments.
  std::vector<Row> Query(const char* method, const char* statement,
                         const std::vector<std::string>& arguments);

 private:
  Pool<Connection> pool_;
  std::map<std::string_view, seer::CalledRpc> methods_;
};

// Whether the store answers already. Does not throw.
bool Answers(const Store& store, const Deployment& deployment, int port);

}  // namespace social
