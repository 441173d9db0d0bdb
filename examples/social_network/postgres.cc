// PostgreSQL through libpq; and whether the stores are up.
#include <libpq-fe.h>

#include <fstream>
#include <stdexcept>
#include <utility>

#include "resp.h"
#include "stores.h"
#include "traced_call.h"

namespace social {

struct Database::Connection {
  Connection(const Deployment& deployment, int port) {
    std::string password;
    std::ifstream(deployment.PasswordFile()) >> password;
    const std::string where = "host=127.0.0.1 port=" + std::to_string(port) +
                              " user=social dbname=postgres connect_timeout=5 password=" + password;
    pq = PQconnectdb(where.c_str());
    if (PQstatus(pq) == CONNECTION_OK) return;
    const std::string why = PQerrorMessage(pq);
    PQfinish(pq);
    throw StoreError("postgres: " + why);
  }
  ~Connection() { PQfinish(pq); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  PGconn* pq = nullptr;
};

seer::CalledRpc Use::Method(const char* name) const {
  auto rpc = seer::CalledRpc::Add(caller, store, name);
  if (!rpc.ok()) throw std::runtime_error(std::string(rpc.status().message()));
  return *rpc;
}

Database::Database(const Use& use, std::initializer_list<const char*> methods)
    : pool_([&deployment = use.deployment, store = use.store] {
        return std::make_unique<Connection>(deployment, deployment.Port(store));
      }) {
  for (const char* method : methods) methods_[method] = use.Method(method);
}

Database::~Database() = default;

std::vector<Database::Row> Database::Query(const char* method, const char* statement,
                                           const std::vector<std::string>& arguments) {
  std::vector<const char*> values;
  for (const std::string& argument : arguments) values.push_back(argument.c_str());
  const auto run = [&](Connection& connection) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
        PQexecParams(connection.pq, statement, static_cast<int>(values.size()), nullptr,
                     values.data(), nullptr, nullptr, 0),
        PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      throw StoreError(std::string("postgres: ") + PQerrorMessage(connection.pq));
    }
    std::vector<Row> rows(static_cast<std::size_t>(PQntuples(result.get())));
    for (int i = 0; i < PQntuples(result.get()); ++i) {
      for (int j = 0; j < PQnfields(result.get()); ++j) {
        rows[static_cast<std::size_t>(i)].emplace_back(
            PQgetvalue(result.get(), i, j),
            static_cast<std::size_t>(PQgetlength(result.get(), i, j)));
      }
    }
    return rows;
  };
  return TracedCall(methods_.at(method), [&] { return pool_.With(run); });
}

bool Answers(const Store& store, const Deployment& deployment, int port) {
  try {
    switch (store.kind) {
      case StoreKind::kMemcached: {
        TcpStream stream(store.name, port);
        stream.Write("version\r\n");
        return stream.ReadLine().rfind("VERSION", 0) == 0;
      }
      case StoreKind::kRedis: {
        TcpStream stream(store.name, port);
        return Resp(stream).Ask({"PING"}).text == "PONG";
      }
      case StoreKind::kPostgres:
        Database::Connection(deployment, port);
        return true;
    }
  } catch (const StoreError&) {
  }
  return false;
}

}  // namespace social
