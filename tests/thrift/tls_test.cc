// Over TLS: what is traced is the processor and the protocol, so it works there as elsewhere.
// Thrift's header wants OpenSSL's.
// (The certificate is of this test alone: openssl req -x509 -newkey ec -pkeyopt
// ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost.)
#if __has_include(<openssl/ssl.h>)
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSSLServerSocket.h>
#include <thrift/transport/TSSLSocket.h>

#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"

namespace seer {
namespace {

using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::protocol::TCompactProtocol;
using apache::thrift::protocol::TCompactProtocolFactory;
using apache::thrift::protocol::TProtocolFactory;
using apache::thrift::transport::TBufferedTransport;
using apache::thrift::transport::TBufferedTransportFactory;
using apache::thrift::transport::TSSLServerSocket;
using apache::thrift::transport::TSSLSocketFactory;
using apache::thrift::transport::TTransport;
using apache::thrift::transport::TTransportFactory;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::DepthOf;
using testing_support::EchoHandler;
using testing_support::EdgeCalls;
using testing_support::EdgeDepth;
using testing_support::Eventually;
using testing_support::SeenSpan;
using testing_support::ServerKind;
using testing_support::ServerParts;
using testing_support::TakeSpansOf;
using testing_support::TestServer;

const std::string kCertificate = SEER_TESTDATA "/thrift/tls-certificate.pem";

template <typename Protocol, typename Protocols>
void IsTraced(ServerKind kind, bool buffered) {
  const std::string name = std::string("tls-") + testing_support::NameOf(kind) +
                           (buffered ? "-buffered" : "-bare") +
                           (std::is_same_v<Protocol, TBinaryProtocol> ? "-binary" : "-compact");
  SCOPED_TRACE(name);
  const std::string caller = name + "-caller";
  const auto server_side = std::make_shared<TSSLSocketFactory>();
  server_side->server(true);
  server_side->loadCertificate(kCertificate.c_str());
  server_side->loadPrivateKey(SEER_TESTDATA "/thrift/tls-key.pem");
  ServerParts parts;
  parts.kind = kind;
  parts.socket = std::make_shared<TSSLServerSocket>("127.0.0.1", 0, server_side);
  parts.processor = Trace(name, std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()));
  parts.protocols = std::make_shared<Protocols>();
  parts.transports = std::make_shared<TTransportFactory>();
  if (buffered) parts.transports = std::make_shared<TBufferedTransportFactory>();
  TestServer server(parts);

  SetThriftCaller(caller);
  TSSLSocketFactory client_side;
  client_side.authenticate(true);
  client_side.loadTrustedCertificates(kCertificate.c_str());
  std::shared_ptr<TTransport> transport = client_side.createSocket("localhost", server.port());
  if (buffered) transport = std::make_shared<TBufferedTransport>(transport);
  transport->open();
  EchoClient client(MakeTraced<Protocol>(name, transport));
  for (int i = 0; i < 3; ++i) {
    std::string answer;
    client.echo(answer, "over TLS");
    EXPECT_EQ(answer, "over TLS");
  }
  EXPECT_EQ(EdgeCalls(caller, name), 3);
  EXPECT_EQ(EdgeDepth(caller, name), 0);
  EXPECT_TRUE(Eventually([&] { return DepthOf(name, Channel::kRunning) == 0; }));
  transport->close();
  server.Stop();

  const std::vector<SeenSpan> calls = TakeSpansOf(caller), served = TakeSpansOf(name);
  ASSERT_EQ(calls.size(), 3u);
  ASSERT_EQ(served.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(served[i].span.trace_id(), calls[i].span.trace_id());
    EXPECT_EQ(served[i].span.parent_id(), calls[i].span.span_id());
  }
}

TEST(ThriftOverTls, CallsAreTracedAndJoinTheCallersTrace) {
  // OpenSSL writes its last words to a socket whose other end may be gone; Thrift wants it so.
  signal(SIGPIPE, SIG_IGN);
  for (const bool buffered : {true, false}) {
    IsTraced<TBinaryProtocol, TBinaryProtocolFactory>(ServerKind::kThreaded, buffered);
    IsTraced<TCompactProtocol, TCompactProtocolFactory>(ServerKind::kThreadPool, buffered);
  }
}

}  // namespace
}  // namespace seer
#endif  // openssl/ssl.h
