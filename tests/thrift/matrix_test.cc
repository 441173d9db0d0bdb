// Every server, with every protocol and transport, plain and traced on either side: the same
// replies, byte for byte, and nothing left open. Acceptance 1, and 18 where the peer in the middle
// is plain.
#include <gtest/gtest.h>
#include <thrift/TApplicationException.h>
#include <thrift/TOutput.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/protocol/TProtocolDecorator.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/THttpClient.h>
#include <thrift/transport/TSocket.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plain/Echo.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_client.h"
#include "seer/trace/propagation.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"

namespace seer {
namespace {

namespace thrift = apache::thrift;
using testing_support::DepthOf;
using testing_support::EchoHandler;
using testing_support::EdgeDepth;
using testing_support::Eventually;
using testing_support::SeenSpan;
using testing_support::ServerKind;
using testing_support::ServerParts;
using testing_support::TakeSpansOf;
using testing_support::TestServer;
using thrift::protocol::TBinaryProtocol;
using thrift::protocol::TCompactProtocol;
using thrift::protocol::THeaderProtocol;
using thrift::protocol::TJSONProtocol;
using thrift::protocol::TProtocol;
using thrift::transport::TTransport;

constexpr char kService[] = "matrix";
constexpr char kCaller[] = "matrix-client";

enum class Wire { kBinary, kCompact, kJson, kHeader };
enum class Carried { kFramed, kBuffered, kSocket };  // kSocket: nothing in between
enum class Client { kPlain, kMakeTraced, kTraceClient };

struct Combination {
  ServerKind server;
  Wire wire;
  Carried carried;
};
std::vector<Combination> AllCombinations() {
  std::vector<Combination> setups;
  for (const ServerKind server : testing_support::kAllServerKinds) {
    for (const Wire wire : {Wire::kBinary, Wire::kCompact, Wire::kJson, Wire::kHeader}) {
      for (const Carried carried : {Carried::kFramed, Carried::kBuffered, Carried::kSocket}) {
        const bool nonblocking =
            server == ServerKind::kNonblocking || server == ServerKind::kNonblockingWithPool;
        // THeader frames its messages itself, and a non-blocking server all of them.
        if (wire == Wire::kHeader && carried == Carried::kFramed && !nonblocking) continue;
        if (wire != Wire::kHeader && carried == Carried::kSocket) continue;
        if (nonblocking && carried != Carried::kFramed) continue;
        if (server == ServerKind::kHttp && (carried != Carried::kFramed || wire == Wire::kHeader)) {
          continue;  // HTTP has a transport of its own
        }
        setups.push_back({server, wire, carried});
      }
    }
  }
  return setups;
}
std::string NameOf(const Combination& setup) {
  static constexpr const char* kWires[] = {"Binary", "Compact", "Json", "Header"};
  static constexpr const char* kCarried[] = {"Framed", "Buffered", "Socket"};
  return std::string(NameOf(setup.server)) + kWires[static_cast<int>(setup.wire)] +
         kCarried[static_cast<int>(setup.carried)];
}

// What the client has read, as it came.
class Recorded final : public thrift::transport::TVirtualTransport<Recorded> {
 public:
  Recorded(std::shared_ptr<TTransport> socket, std::string* bytes)
      : socket_(std::move(socket)), bytes_(bytes) {}
  bool isOpen() const override { return socket_->isOpen(); }
  void open() override { socket_->open(); }
  void close() override { socket_->close(); }
  std::uint32_t read(std::uint8_t* bytes, std::uint32_t size) {
    const std::uint32_t got = socket_->read(bytes, size);
    bytes_->append(reinterpret_cast<const char*>(bytes), got);
    return got;
  }
  void write(const std::uint8_t* bytes, std::uint32_t size) { socket_->write(bytes, size); }
  void flush() override { socket_->flush(); }

 private:
  const std::shared_ptr<TTransport> socket_;
  std::string* const bytes_;
};

ServerParts PartsOf(const Combination& setup) {
  ServerParts parts;
  parts.kind = setup.server;
  switch (setup.wire) {
    case Wire::kBinary:
      parts.protocols = std::make_shared<thrift::protocol::TBinaryProtocolFactory>();
      break;
    case Wire::kCompact:
      parts.protocols = std::make_shared<thrift::protocol::TCompactProtocolFactory>();
      break;
    case Wire::kJson:
      parts.protocols = std::make_shared<thrift::protocol::TJSONProtocolFactory>();
      break;
    case Wire::kHeader:
      parts.protocols = std::make_shared<thrift::protocol::THeaderProtocolFactory>();
      break;
  }
  switch (setup.carried) {
    case Carried::kFramed:
      parts.transports = std::make_shared<thrift::transport::TFramedTransportFactory>();
      break;
    case Carried::kBuffered:
      parts.transports = std::make_shared<thrift::transport::TBufferedTransportFactory>();
      break;
    case Carried::kSocket:
      parts.transports = std::make_shared<thrift::transport::TTransportFactory>();
      break;
  }
  return parts;
}

template <typename Protocol, typename... Args>
std::shared_ptr<TProtocol> Make(Client client, const char* callee,
                                const std::shared_ptr<TTransport>& transport, Args... args) {
  if (client == Client::kMakeTraced) return MakeTraced<Protocol>(callee, transport, args...);
  auto protocol = std::make_shared<Protocol>(transport, args...);
  if (client == Client::kTraceClient) return TraceClient(callee, std::move(protocol));
  return protocol;
}
std::shared_ptr<TProtocol> ClientProtocol(const Combination& setup, Client client,
                                          const char* callee, std::shared_ptr<TTransport> socket) {
  std::shared_ptr<TTransport> transport = socket;
  const bool header = setup.wire == Wire::kHeader;
  if (setup.server == ServerKind::kHttp) {
    transport = std::make_shared<thrift::transport::THttpClient>(socket, "localhost", "/");
  } else if (setup.carried == Carried::kBuffered) {
    transport = std::make_shared<thrift::transport::TBufferedTransport>(socket);
  } else if (setup.carried == Carried::kFramed && !header) {
    transport = std::make_shared<thrift::transport::TFramedTransport>(socket);
  }
  switch (setup.wire) {
    case Wire::kBinary:
      return Make<TBinaryProtocol>(client, callee, transport);
    case Wire::kCompact:
      return Make<TCompactProtocol>(client, callee, transport);
    case Wire::kJson:
      return Make<TJSONProtocol>(client, callee, transport);
    default:
      return Make<THeaderProtocol>(client, callee, transport, thrift::protocol::T_BINARY_PROTOCOL);
  }
}

// One call of everything there is; what the client saw, in words.
constexpr int kRequests = 11;
std::string CallEverything(echo_plain::EchoClient& client) {
  std::string seen, result;
  const auto note = [&](const std::string& text) { seen += text + "\n"; };
  client.ping(result);
  note(result);
  client.echo(result, "hello");
  note(result);
  client.echo(result, std::string(2000, 'x'));  // more than a buffer holds
  note(result);
  echo_plain::Item item, back;
  item.id = 7;
  item.name = "seven";
  item.stamps = {1, 2, 3};
  client.nested(back, item);
  note(std::to_string(back.id) + back.name + std::to_string(back.stamps.size()));
  note(std::to_string(client.count(std::vector<echo_plain::Item>(40, item))));
  try {
    client.declared(result, "because");
  } catch (const echo_plain::Declared& e) {
    note("declared " + e.why);
  }
  client.fire("and forget");
  try {
    client.undeclared(result, "oops");
  } catch (const thrift::TApplicationException& e) {
    note(std::string("undeclared ") + e.what());
  }
  client.own8888(result, "mine");
  note(result);
  client.own3333(result, "text", {{1, 2}});
  note(result);
  client.nothing();
  return seen;
}

struct Transcript {
  std::string seen;
  std::string bytes;
};
Transcript CallOnce(const Combination& setup, Client how, bool traced_server) {
  ServerParts parts = PartsOf(setup);
  const auto handler = std::make_shared<EchoHandler>();
  parts.processor = std::make_shared<echo_plain::EchoProcessor>(handler);
  if (traced_server) parts.processor = Trace(kService, parts.processor);
  TestServer server(parts);
  Transcript run;
  {
    const auto socket = server.Connect();
    socket->setRecvTimeout(20000);
    echo_plain::EchoClient client(
        ClientProtocol(setup, how, kService, std::make_shared<Recorded>(socket, &run.bytes)));
    run.seen = CallEverything(client);
    EXPECT_LE(EdgeDepth(kCaller, kService), 0);
    EXPECT_TRUE(Eventually([&] { return handler->fired.load() == 1; }));
    socket->close();
  }
  if (traced_server) {
    EXPECT_TRUE(Eventually([] { return DepthOf(kService, Channel::kRunning) == 0; }));
    EXPECT_EQ(DepthOf(kService, Channel::kBlocked), 0);
  }
  server.Stop();
  return run;
}

// The only thing in a reply that the clock writes.
std::string WithoutDates(std::string bytes) {
  for (std::size_t at = 0; (at = bytes.find("Date: ", at)) != std::string::npos;) {
    bytes.erase(at, bytes.find('\n', at) - at);
  }
  return bytes;
}

class Matrix : public testing::TestWithParam<Combination> {
 protected:
  // THeader's server says on standard error that it cannot flush into a closed connection.
  Matrix() {
    thrift::GlobalOutput.setOutputFunction([](const char*) {});
  }
  ~Matrix() override { thrift::GlobalOutput.setOutputFunction(&std::perror); }
};
INSTANTIATE_TEST_SUITE_P(All, Matrix, testing::ValuesIn(AllCombinations()),
                         [](const testing::TestParamInfo<Combination>& setup) {
                           return NameOf(setup.param);
                         });

TEST_P(Matrix, RepliesAreEqualAndNothingStaysOpen) {
  SetThriftCaller(kCaller);
  const Transcript plain = CallOnce(GetParam(), Client::kPlain, false);
  ASSERT_NE(plain.seen.find("hello\n"), std::string::npos);
  for (const Client how : {Client::kPlain, Client::kMakeTraced, Client::kTraceClient}) {
    for (const bool traced_server : {false, true}) {
      SCOPED_TRACE(testing::Message() << "client " << static_cast<int>(how) << ", "
                                      << (traced_server ? "traced" : "plain") << " server");
      TakeSpansOf(kCaller);
      TakeSpansOf(kService);
      const Transcript run = CallOnce(GetParam(), how, traced_server);
      EXPECT_EQ(run.seen, plain.seen);
      EXPECT_EQ(WithoutDates(run.bytes), WithoutDates(plain.bytes));
      const std::vector<SeenSpan> called = TakeSpansOf(kCaller);
      const std::vector<SeenSpan> served = TakeSpansOf(kService);
      EXPECT_EQ(called.size(), how == Client::kPlain ? 0u : kRequests);
      EXPECT_EQ(served.size(), traced_server ? kRequests : 0u);
      std::set<std::uint64_t> calls;
      for (const SeenSpan& seen : called) calls.insert(seen.span.span_id());
      for (const SeenSpan& seen : served) {
        // One trace over both services, or a trace that begins here.
        EXPECT_EQ(calls.erase(seen.span.parent_id()), how == Client::kPlain ? 0u : 1u)
            << seen.method;
        EXPECT_TRUE(seen.span.StampsAreOrdered());
      }
    }
  }
}

// Writes the context where tracers of Java do: at the end of the first struct that ends.
class LikeJava final : public thrift::protocol::TProtocolDecorator {
 public:
  LikeJava(std::shared_ptr<TProtocol> out, const TraceContext& context)
      : TProtocolDecorator(out), out_(*out), context_(context) {}
  std::uint32_t writeMessageBegin_virt(const std::string& name,
                                       const thrift::protocol::TMessageType type,
                                       const std::int32_t seqid) override {
    pending_ = true;
    return out_.writeMessageBegin(name, type, seqid);
  }
  std::uint32_t writeFieldStop_virt() override {
    if (std::exchange(pending_, false)) {
      const auto text = FormatTraceparent(context_);
      out_.writeFieldBegin("context", thrift::protocol::T_MAP, 8888);
      out_.writeMapBegin(thrift::protocol::T_STRING, thrift::protocol::T_STRING, 1);
      out_.writeString(std::string("traceparent"));
      out_.writeString(std::string(text.data(), text.size()));
      out_.writeMapEnd();
      out_.writeFieldEnd();
    }
    return out_.writeFieldStop();
  }

 private:
  TProtocol& out_;
  const TraceContext context_;
  bool pending_ = false;
};

TEST(MatrixOfOthers, AContextAtTheEndIsFoundOnEveryServerWhereItIsSearchedFor) {
  for (const ServerKind server : testing_support::kAllServerKinds) {
    for (const Wire wire : {Wire::kBinary, Wire::kCompact}) {
      const Combination setup = {server, wire, Carried::kFramed};
      SCOPED_TRACE(NameOf(setup));
      const std::string name = "others-" + NameOf(setup);
      ThriftTraceOptions options;
      options.search_arguments = true;
      ServerParts parts = PartsOf(setup);
      parts.processor =
          Trace(name, std::make_shared<echo_plain::EchoProcessor>(std::make_shared<EchoHandler>()),
                options);
      TestServer running(parts);
      const TraceContext context = NewRoot();
      const auto socket = running.Connect();
      echo_plain::EchoClient client(std::make_shared<LikeJava>(
          ClientProtocol(setup, Client::kPlain, name.c_str(), socket), context));
      std::string result;
      client.echo(result, "hello");
      EXPECT_EQ(result, "hello");
      echo_plain::Item item, back;
      item.name = "within a struct";
      client.nested(back, item);
      EXPECT_EQ(back.name, item.name);
      socket->close();
      running.Stop();
      const std::vector<SeenSpan> spans = TakeSpansOf(name);
      ASSERT_EQ(spans.size(), 2u);
      for (const SeenSpan& seen : spans) {
        EXPECT_EQ(seen.span.trace_id(), context.trace_id) << seen.method;
        EXPECT_EQ(seen.span.parent_id(), context.span_id) << seen.method;
      }
    }
  }
}

// A -> B -> C, where B may know nothing of seer: it works, and the trace begins anew behind B.
TEST(Chain, APlainServiceInTheMiddleBreaksNothing) {
  const Combination setup = {ServerKind::kThreaded, Wire::kBinary, Carried::kFramed};
  SetThriftCaller("chain-a");
  for (const bool traced_b : {false, true}) {
    for (const char* name : {"chain-a", "chain-b", "chain-c"}) TakeSpansOf(name);
    ServerParts parts = PartsOf(setup);
    parts.processor = Trace(
        "chain-c", std::make_shared<echo_plain::EchoProcessor>(std::make_shared<EchoHandler>()));
    TestServer c(parts);
    const auto handler = std::make_shared<EchoHandler>();
    echo_plain::EchoClient to_c(ClientProtocol(
        setup, traced_b ? Client::kMakeTraced : Client::kPlain, "chain-c", c.Connect()));
    handler->relay_to = [&](const std::string& text) {
      std::string result;
      to_c.echo(result, text);
      return result;
    };
    parts.processor = std::make_shared<echo_plain::EchoProcessor>(handler);
    if (traced_b) parts.processor = Trace("chain-b", parts.processor);
    TestServer b(parts);
    echo_plain::EchoClient to_b(ClientProtocol(setup, Client::kMakeTraced, "chain-b", b.Connect()));
    std::string result;
    to_b.relay(result, "hello");
    EXPECT_EQ(result, "hello");
    EXPECT_TRUE(Eventually([] { return DepthOf("chain-c", Channel::kRunning) == 0; }));
    to_b.getOutputProtocol()->getTransport()->close();
    to_c.getOutputProtocol()->getTransport()->close();
    b.Stop();
    c.Stop();
    const auto at_a = TakeSpansOf("chain-a");
    const auto at_b = TakeSpansOf("chain-b");
    const auto at_c = TakeSpansOf("chain-c");
    ASSERT_EQ(at_a.size(), 1u);
    ASSERT_EQ(at_b.size(), traced_b ? 2u : 0u);
    ASSERT_EQ(at_c.size(), 1u);
    EXPECT_EQ(at_c[0].span.trace_id() == at_a[0].span.trace_id(), traced_b);
    EXPECT_EQ(EdgeDepth("chain-a", "chain-b"), 0);
  }
}

}  // namespace
}  // namespace seer
