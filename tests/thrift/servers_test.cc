// The servers of Thrift under clients that misbehave, and for as long as one likes:
//
//   SEER_SOAK_SECONDS=600 seer_thrift_test --gtest_filter='*Soak*'
//
// Where the acceptance cases of thrift/ are tested:
//
//    1 matrix_test, trace_test        2 trace_async_test, Case02 here    3 trace_test
//    4 trace_test, here               5 trace_test                       6 trace_test
//    7 trace_test, here               8 trace_test, here                 9
//    traced_server_socket_test
//   10 11 trace_thread_manager_test  12 trace_thread_manager_test, accept_probe_test
//   13 trace_test, trace_connections_test                               14 15 16 trace_test
//   17 args_context_test             18 args_context_test, matrix_test  19 20 21 28 of the client's
//   files  22 trace_async_test 23 24 trace_test                 25 26 here 27 the Concurrency tests
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thrift/Thrift.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/transport/TBufferTransports.h>

#include "seer/queue/reader.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_client.h"
#include "seer/thrift/trace_connections.h"
#include "seer/thrift/trace_thread_manager.h"
#include "seer/thrift/traced_server_socket.h"
#include "seer/trace/drainer.h"
#include "seer/trace/recorder.h"
#include "seer/trace/sink.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"

namespace seer {
namespace {

using apache::thrift::TException;
using apache::thrift::concurrency::ThreadManager;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TProtocol;
using apache::thrift::server::TNonblockingServer;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TMemoryBuffer;
using apache::thrift::transport::TSocket;
using apache::thrift::transport::TTransport;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::ArrivalsOf;
using testing_support::ClientProtocol;
using testing_support::DepthOf;
using testing_support::EchoHandler;
using testing_support::EdgeCalls;
using testing_support::EdgeDepth;
using testing_support::Eventually;
using testing_support::Gate;
using testing_support::NameOf;
using testing_support::SeenSpan;
using testing_support::ServerKind;
using testing_support::ServerParts;
using testing_support::TakeSpansOf;
using testing_support::TestServer;

// Everything traced that can be.
struct Service {
  Service(const std::string& its_name, ServerKind kind, std::size_t workers = 4)
      : name(its_name), handler(std::make_shared<EchoHandler>()) {
    handler->gate = &gate;
    parts.kind = kind;
    parts.processor = Trace(name, std::make_shared<EchoProcessor>(handler));
    parts.events = std::make_shared<ConnectionEvents>(name, nullptr);
    parts.socket = std::make_shared<TracedServerSocket>("127.0.0.1", 0);
    parts.nonblocking_socket = std::make_shared<TracedNonblockingServerSocket>("127.0.0.1", 0);
    if (kind == ServerKind::kThreadPool || kind == ServerKind::kNonblockingWithPool) {
      parts.threads = Trace(name, ThreadManager::newSimpleThreadManager(workers));
    }
    TakeSpansOf(name);
    server = std::make_unique<TestServer>(parts);
  }
  ~Service() {
    gate.Open();
    server->Stop();
  }
  EchoClient Client() { return EchoClient(ClientProtocol(parts, server->Connect())); }
  std::int64_t running() const { return DepthOf(name, Channel::kRunning); }
  bool Quiet() const {
    return running() == 0 && DepthOf(name, Channel::kQueued) <= 0 &&
           DepthOf(name, Channel::kAccept) <= 0 && DepthOf(name, Channel::kBlocked) == 0;
  }

  const std::string name;
  Gate gate;
  std::shared_ptr<EchoHandler> handler;
  ServerParts parts;
  std::unique_ptr<TestServer> server;
};

constexpr ServerKind kServers[] = {ServerKind::kSimple, ServerKind::kThreaded,
                                   ServerKind::kThreadPool, ServerKind::kNonblocking,
                                   ServerKind::kNonblockingWithPool};

// The first bytes of a framed request, with a length that says how many there should be.
void SendFrame(TSocket& socket, std::uint32_t length, const std::string& bytes) {
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(length >> shift & 0xff);
  frame += bytes;
  socket.write(reinterpret_cast<const std::uint8_t*>(frame.data()),
               static_cast<std::uint32_t>(frame.size()));
}
std::string EchoRequest(std::uint32_t text_length, const std::string& text) {
  const std::string name(
      "\x80\x01\x00\x01\x00\x00\x00\x04"
      "echo\x00\x00\x00\x01"
      "\x0b\x00\x01",
      19);
  std::string length;
  for (int shift = 24; shift >= 0; shift -= 8) {
    length += static_cast<char>(text_length >> shift & 0xff);
  }
  return name + length + text;
}
// Closes with a reset in the place of a farewell.
void Reset(TSocket& socket) {
  socket.setLinger(true, 0);
  socket.close();
}

TEST(ThriftServers, Case02ADeclaredExceptionIsAnAnswer) {
  Service service("servers-declared", ServerKind::kThreaded);
  EchoClient client = service.Client();
  std::string answer;
  EXPECT_THROW(client.declared(answer, "why"), echo_plain::Declared);
  std::vector<SeenSpan> spans;
  ASSERT_TRUE(Eventually([&] { return !(spans = TakeSpansOf(service.name)).empty(); }));
  EXPECT_EQ(spans[0].span.outcome(), Outcome::kOk);
  EXPECT_EQ(ThriftCountsOf(service.name)->failed, 0u);
}

TEST(ThriftServers, Case04ANonblockingServerSurvivesWhatIsNoStdException) {
  Service service("servers-int", ServerKind::kNonblockingWithPool);
  for (int i = 0; i < 3; ++i) service.Client().send_undeclared("int");  // never answered
  ASSERT_TRUE(Eventually([&] { return ThriftCountsOf(service.name)->failed == 3; }));
  EXPECT_TRUE(Eventually([&] { return service.Quiet(); }));
  EchoClient client = service.Client();
  std::string answer;
  client.echo(answer, "alive");
  EXPECT_EQ(answer, "alive");
}

TEST(ThriftServers, Case07AStringLongerThanItsFrameIsReadUntilTheConnectionEnds) {
  Service service("servers-blocked-in-args", ServerKind::kThreaded);
  const auto socket = service.server->Connect();
  const std::string request = EchoRequest(1000, "short");
  SendFrame(*socket, static_cast<std::uint32_t>(request.size()), request);
  ASSERT_TRUE(Eventually([&] { return service.running() == 1; }));
  socket->close();
  EXPECT_TRUE(Eventually([&] { return service.running() == 0; }));
  EXPECT_EQ(ThriftCountsOf(service.name)->undecodable, 1u);
}

TEST(ThriftServers, Case08AResetBeforeTheReplyEndsTheRequest) {
  for (const ServerKind kind : kServers) {
    SCOPED_TRACE(NameOf(kind));
    Service service(std::string("servers-reset-") + NameOf(kind), kind);
    const auto socket = service.server->Connect();
    EchoClient client(ClientProtocol(service.parts, socket));
    client.send_slow(-1);
    ASSERT_TRUE(Eventually([&] { return service.running() == 1; }));
    Reset(*socket);
    service.gate.Open();
    EXPECT_TRUE(Eventually([&] { return service.Quiet(); }));
    EXPECT_TRUE(Eventually([&] { return ThriftCountsOf(service.name)->open_connections == 0; }));
  }
}

TEST(ThriftServers, Case25ConnectionsThatComeAndGoLeaveNothing) {
  for (const ServerKind kind : kServers) {
    SCOPED_TRACE(NameOf(kind));
    Service service(std::string("servers-churn-") + NameOf(kind), kind);
    constexpr int kConnections = 100;
    for (int i = 0; i < kConnections; ++i) {
      EchoClient client = service.Client();
      std::string answer;
      client.echo(answer, "x");
    }
    EXPECT_TRUE(Eventually([&] { return service.Quiet(); }));
    EXPECT_TRUE(Eventually([&] { return ThriftCountsOf(service.name)->open_connections == 0; }));
    EXPECT_EQ(ThriftCountsOf(service.name)->connections, 1u * kConnections);
    EXPECT_EQ(TakeSpansOf(service.name).size(), 1u * kConnections);
    EXPECT_EQ(ThriftCountsOf(service.name)->events_lost, 0u);
  }
}

TEST(ThriftServers, Case26StoppedInTheMiddleOfACall) {
  for (const ServerKind kind : kServers) {
    SCOPED_TRACE(NameOf(kind));
    Service service(std::string("servers-stop-") + NameOf(kind), kind);
    const auto socket = service.server->Connect();
    EchoClient client(ClientProtocol(service.parts, socket));
    client.send_slow(-1);
    ASSERT_TRUE(Eventually([&] { return service.running() == 1; }));
    std::thread stopper([&] { service.server->Stop(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // stop() before, after or within
    service.gate.Open();
    stopper.join();
    EXPECT_TRUE(Eventually([&] { return service.Quiet(); }));
  }
}

// ---- Case 26 goes on in processes of their own.

bool Echoes(apache::thrift::TProcessor& processor) {
  const auto request = std::make_shared<TMemoryBuffer>();
  const auto reply = std::make_shared<TMemoryBuffer>();
  const auto to = std::make_shared<TBinaryProtocol>(request);
  const auto from = std::make_shared<TBinaryProtocol>(reply);
  EchoClient client(from, to);
  client.send_echo("x");
  processor.process(to, from, nullptr);
  std::string answer;
  client.recv_echo(answer);
  return answer == "x";
}
std::shared_ptr<apache::thrift::TProcessor> TracedEcho(const char* name) {
  return Trace(name, std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()));
}

int LoseWhoCollects() {
  auto drainer = *SpanDrainer::Create(SpanRecorder::Global(), std::make_shared<MemorySink>());
  auto reader = *Reader::Open(ReaderOptions{""});
  if (!reader->Add(QueueRegistry::Global()).ok()) return 2;
  const auto handler = std::make_shared<EchoHandler>();
  const auto processor = Trace("servers-collector", std::make_shared<EchoProcessor>(handler));
  handler->within = [&] {
    if (drainer == nullptr) return;
    reader->Read();
    drainer->Drain().IgnoreError();
    reader.reset();
    drainer.reset();
  };
  return Echoes(*processor) && Echoes(*processor) && drainer == nullptr ? 0 : 3;
}
TEST(ThriftServersDeathTest, Case26WhoCollectsMayGoWithinACall) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(LoseWhoCollects()), testing::ExitedWithCode(0), "");
}

// Goes as the last of all static objects, and calls then; others call all the time.
struct LastCaller {
  ~LastCaller() {
    if (!Echoes(*processor)) _exit(4);
  }
  std::shared_ptr<apache::thrift::TProcessor> processor;
};
[[noreturn]] void EndInTheMiddle() {
  static LastCaller last;
  static const auto processor = TracedEcho("servers-static");
  static auto drainer =
      *SpanDrainer::Create(SpanRecorder::Global(), std::make_shared<MemorySink>());
  // A call that nobody answers.
  static EchoClient open(MakeTraced<TBinaryProtocol>("servers-static",  //
                                                     std::make_shared<TMemoryBuffer>()));
  open.send_echo("x");
  last.processor = processor;
  static std::atomic<int> calls{0};
  std::thread([mine = processor] {
    for (;;) {
      Echoes(*mine);
      calls.fetch_add(1);
    }
  }).detach();
  Eventually([] { return calls.load() > 100; });
  std::exit(Echoes(*processor) ? 0 : 5);
}
TEST(ThriftServersDeathTest, Case26CallsGoOnWhileStaticObjectsAreDestroyed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(EndInTheMiddle(), testing::ExitedWithCode(0), "");
}

// ---- For as long as one likes.

std::int64_t ResidentKilobytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "VmRSS:") {
      std::int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes;
    }
  }
  return 0;
}

constexpr char kSoakClients[] = "servers-soak-clients";

// One client with one fault, or none. Every second one is traced.
void Misbehave(Service& service, std::mt19937& random) {
  const auto socket = service.server->Connect();
  std::shared_ptr<TProtocol> protocol = ClientProtocol(service.parts, socket);
  if (random() % 2 == 0) protocol = TraceClient(service.name, std::move(protocol));
  const std::shared_ptr<TTransport> transport = protocol->getTransport();
  EchoClient client(protocol);
  std::string answer;
  const int calls = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < calls; ++i) {
    switch (random() % 14) {
      case 0:
        client.fire("oneway");
        break;
      case 1:
        client.misfire("oneway");
        break;
      case 2:
        EXPECT_THROW(client.undeclared(answer, "broken"), TException);
        break;
      case 3:
        try {
          client.declared(answer, "declared");
          ADD_FAILURE() << "declared() did not throw";
        } catch (const echo_plain::Declared&) {
        }
        break;
      case 4:
        client.send_slow(1);
        return Reset(*socket);
      case 5: {
        const std::string request = EchoRequest(1000, "short");
        SendFrame(*socket, static_cast<std::uint32_t>(request.size()), request);
        return Reset(*socket);
      }
      case 6:
        SendFrame(*socket, 40, std::string(random() % 40, '\x80'));
        return;
      case 7:
        // No version that Thrift knows. (Other bytes would be a length, for which it makes room.)
        SendFrame(*socket, 20, std::string(20, static_cast<char>(0x81 + random() % 0x7f)));
        return;
      case 8:
        client.send_echo("1");
        client.send_slow(1);
        client.send_echo("2");
        client.recv_echo(answer);
        client.recv_slow();
        client.recv_echo(answer);
        break;
      case 9:
        client.send_echo("away");
        return;
      case 10:  // connects anew, with a call open
        client.send_slow(1);
        transport->close();
        transport->open();
        break;
      case 11:  // has no patience
        socket->setRecvTimeout(1);
        client.slow(5);
        return;
      default:
        client.echo(answer, "x");
        EXPECT_EQ(answer, "x");
    }
  }
}

void Soak(ServerKind kind, double seconds) {
  SCOPED_TRACE(NameOf(kind));
  SetThriftCaller(kSoakClients);
  Service service(std::string("servers-soak-") + NameOf(kind), kind);
  auto* const nonblocking = dynamic_cast<TNonblockingServer*>(&service.server->server());
  if (kind == ServerKind::kNonblockingWithPool) nonblocking->setTaskExpireTime(50);
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> connections{0};
  std::vector<std::thread> clients;
  for (unsigned t = 0; t < 3; ++t) {
    clients.emplace_back([&, t] {
      std::mt19937 random(17 * t + static_cast<unsigned>(kind));
      while (!done.load()) {
        try {
          connections.fetch_add(1);
          Misbehave(service, random);
        } catch (const TException&) {  // drained, expired, reset
        }
      }
    });
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::int64_t warm_kilobytes = 0;
  std::uint64_t spans = 0, client_spans = 0;
  while (passed() < seconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    spans += TakeSpansOf(service.name).size();
    client_spans += TakeSpansOf(kSoakClients).size();
    EXPECT_GE(service.running(), 0);
    if (kind == ServerKind::kNonblockingWithPool) nonblocking->drainPendingTask();
    if (warm_kilobytes == 0 && passed() > seconds / 3) warm_kilobytes = ResidentKilobytes();
  }
  done.store(true);
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(Eventually([&] { return service.Quiet(); }))
      << service.running() << " running " << DepthOf(service.name, Channel::kQueued) << " queued";
  EXPECT_TRUE(Eventually([&] { return ThriftCountsOf(service.name)->open_connections == 0; }));
  EXPECT_EQ(EdgeDepth(kSoakClients, service.name), 0);
  spans += TakeSpansOf(service.name).size();
  client_spans += TakeSpansOf(kSoakClients).size();
  // Every request that began has left its span: none is lost, none is told twice.
  EXPECT_EQ(static_cast<std::int64_t>(spans), ArrivalsOf(service.name, Channel::kRunning));
  EXPECT_EQ(static_cast<std::int64_t>(client_spans), EdgeCalls(kSoakClients, service.name));
  EXPECT_EQ(ThriftCountsOf(service.name)->hooks_lost, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const std::int64_t grown = ResidentKilobytes() - warm_kilobytes;
  EXPECT_LT(grown, 16 * 1024);
#endif
  if (seconds > 30) {
    printf("%s: %llu connections, %llu spans of the server, %llu of clients, +%lld KB\n",
           NameOf(kind), static_cast<unsigned long long>(connections.load()),
           static_cast<unsigned long long>(spans), static_cast<unsigned long long>(client_spans),
           static_cast<long long>(ResidentKilobytes() - warm_kilobytes));
  }
}

double SoakSeconds() {
  const char* const seconds = std::getenv("SEER_SOAK_SECONDS");
  return seconds != nullptr ? std::atof(seconds) : 4;
}

// Not under TSan: Debian's libthrift is not instrumented, so that what it hands from thread to
// thread looks like a race. The same holds for TraceThreadManagerStress.
TEST(ThriftServersStress, SoakWithRandomFaultsEndsWithNothingOpen) {
  const ServerKind kinds[] = {ServerKind::kThreaded, ServerKind::kThreadPool,
                              ServerKind::kNonblocking, ServerKind::kNonblockingWithPool};
  for (const ServerKind kind : kinds) Soak(kind, SoakSeconds() / 4);
}

}  // namespace
}  // namespace seer
