#include "seer/thrift/trace_connections.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/in_memory.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"

namespace seer {
namespace {

using apache::thrift::protocol::TProtocol;
using apache::thrift::server::TServerEventHandler;
using apache::thrift::transport::TTransport;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::ClientProtocol;
using testing_support::EchoHandler;
using testing_support::Eventually;
using testing_support::InMemory;
using testing_support::NameOf;
using testing_support::ServerKind;
using testing_support::ServerParts;
using testing_support::TestServer;

// The host's own handler, with contexts of its own.
class Noting final : public TServerEventHandler {
 public:
  std::atomic<int> served{0}, created{0}, deleted{0}, processed{0};
  void preServe() override { served.fetch_add(1); }
  void* createContext(std::shared_ptr<TProtocol>, std::shared_ptr<TProtocol>) override {
    created.fetch_add(1);
    return this;
  }
  void deleteContext(void* context, std::shared_ptr<TProtocol>,
                     std::shared_ptr<TProtocol>) override {
    EXPECT_EQ(context, this);
    deleted.fetch_add(1);
  }
  void processContext(void* context, std::shared_ptr<TTransport>) override {
    EXPECT_EQ(context, this);
    processed.fetch_add(1);
  }
};

TEST(TraceConnections, Case13TheHostsServerHandlerKeepsItsContextsOnEveryServer) {
  for (const ServerKind kind : testing_support::kAllServerKinds) {
    SCOPED_TRACE(NameOf(kind));
    const std::string name = std::string("connections-") + NameOf(kind);
    const auto noting = std::make_shared<Noting>();
    ServerParts parts;
    parts.kind = kind;
    parts.processor = Trace(name, std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()));
    parts.events = std::make_shared<ConnectionEvents>(name, noting);
    TestServer server(parts);
    EXPECT_EQ(noting->served.load(), 1);
    {
      EchoClient client(ClientProtocol(parts, server.Connect()));
      std::string answer;
      for (int i = 0; i < 3; ++i) client.echo(answer, "x");
      EXPECT_EQ(ThriftCountsOf(name)->open_connections, 1u);
    }
    EXPECT_TRUE(Eventually([&] { return ThriftCountsOf(name)->open_connections == 0; }));
    {
      EchoClient client(ClientProtocol(parts, server.Connect()));
      std::string answer;
      client.echo(answer, "x");
    }
    EXPECT_TRUE(Eventually([&] { return noting->deleted.load() == 2; }));
    EXPECT_EQ(noting->created.load(), 2);
    EXPECT_GE(noting->processed.load(), 4);
    EXPECT_EQ(ThriftCountsOf(name)->connections, 2u);
    EXPECT_EQ(ThriftCountsOf(name)->events_lost, 0u);
  }
}

TEST(TraceConnections, Case13AHandlerThatIsSetLaterIsALossThatIsCounted) {
  const std::string name = "connections-lost";
  ServerParts parts;
  parts.processor = Trace(name, std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()));
  TestServer server(parts);
  TraceConnections(name, server.server());
  const auto chained = server.server().getEventHandler();
  EXPECT_NE(std::dynamic_pointer_cast<ConnectionEvents>(chained), nullptr);
  const auto noting = std::make_shared<Noting>();
  server.server().setServerEventHandler(noting);
  EchoClient client(ClientProtocol(parts, server.Connect()));
  std::string answer;
  client.echo(answer, "x");
  client.echo(answer, "x");
  EXPECT_TRUE(Eventually([&] { return ThriftCountsOf(name)->events_lost == 2; }));
  EXPECT_EQ(ThriftCountsOf(name)->connections, 0u);
}

}  // namespace
}  // namespace seer
