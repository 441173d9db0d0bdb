#include "probe/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "probe/sock_diag.h"
#include "tests/probe/netlink_bytes.h"

namespace seer::internal {
namespace {

using testing::Done;
using testing::Error;
using testing::Message;
using End = DatagramResult::End;

constexpr std::uint32_t kSequence = 7;

class Collected final : public DumpSink {
 public:
  void Restart() override { messages.clear(); }
  void Take(std::uint16_t type, absl::Span<const char> payload) override {
    EXPECT_GE(type, NLMSG_MIN_TYPE);
    messages.emplace_back(payload.begin(), payload.end());
  }
  std::vector<std::string> messages;
};

TEST(Netlink, ADatagramEndsInOneOfFourWays) {
  const std::string row = Message(20, kSequence, "row");
  struct Case {
    const char* name;
    std::string datagram;
    End end;
    int error;
    std::size_t messages;
  };
  for (const Case& c : {
           Case{"nothing", "", End::kMore, 0, 0},
           Case{"rows", row + row, End::kMore, 0, 2},
           Case{"rows and the end", row + Done(kSequence) + row, End::kDone, 0, 1},
           Case{"an end that says nothing", Message(NLMSG_DONE, kSequence, ""), End::kDone, 0, 0},
           Case{"the dump failed half-way", row + Done(kSequence, -ENOBUFS), End::kError, ENOBUFS,
                1},
           Case{"refused", Error(kSequence, EINVAL), End::kError, EINVAL, 0},
           Case{"an acknowledgement", Error(kSequence, 0), End::kMalformed, 0, 0},
           Case{"an error that is none", Done(kSequence, 5), End::kMalformed, 0, 0},
           Case{"an error below all", Done(kSequence, -2'000'000'000), End::kMalformed, 0, 0},
           Case{"an error cut off", Message(NLMSG_ERROR, kSequence, "ab"), End::kMalformed, 0, 0},
           Case{"an overrun", Message(NLMSG_OVERRUN, kSequence, ""), End::kError, ENOBUFS, 0},
           Case{"another request's", Message(20, kSequence - 1, "x") + Done(kSequence - 1),
                End::kMore, 0, 0},
           Case{"half a header", row + "abc", End::kMalformed, 0, 1},
           Case{"half a message", row.substr(0, row.size() - 4), End::kMalformed, 0, 0},
           Case{"a length of zero", std::string(32, '\0'), End::kMalformed, 0, 0},
           Case{"a length of all", std::string(32, '\xff'), End::kMalformed, 0, 0},
       }) {
    SCOPED_TRACE(c.name);
    Collected sink;
    const DatagramResult result = ParseDatagram(c.datagram, kSequence, &sink);
    EXPECT_EQ(result.end, c.end);
    EXPECT_EQ(result.error, c.error);
    EXPECT_EQ(result.messages, c.messages);
    EXPECT_EQ(sink.messages.size(), c.messages);
    for (const std::string& message : sink.messages) EXPECT_EQ(message, "row");
  }
}

TEST(Netlink, AttributesEndAtTheFirstThatDoesNotFit) {
  using testing::Attribute;
  const std::string good =
      Attribute(1, "a") + Attribute(2, "") + Attribute(NLA_F_NESTED | 3, "ccc");
  for (const std::string& tail : {std::string(), std::string("abc"), std::string(4, '\0'),
                                  std::string(8, '\xff'), Attribute(9, "xyz").substr(0, 5)}) {
    SCOPED_TRACE(tail.size());
    const std::string bytes = good + tail;
    NetlinkAttributes attributes(bytes);
    std::vector<std::string> seen;
    std::uint16_t type;
    absl::Span<const char> payload;
    while (attributes.Next(&type, &payload)) {
      seen.push_back(std::to_string(type) + std::string(payload.begin(), payload.end()));
    }
    EXPECT_THAT(seen, ::testing::ElementsAre("1a", "2", "3ccc"));
  }
}

// Truncated and mutated at random: no crash, and rows that keep their order.
TEST(Netlink, BrokenDumpsBreakNothing) {
  std::mt19937 random(3);
  std::string good;
  const std::uint16_t listening[] = {80, 81, 80}, connected[] = {80, 90};
  for (std::uint16_t port : listening) {
    good += Message(TCPDIAG_GETSOCK, kSequence,
                    testing::FakeSocket{testing::kListen, port, 3, 9, 1, ""}.Payload());
  }
  for (std::uint16_t port : connected) {
    good += Message(TCPDIAG_GETSOCK, kSequence,
                    testing::FakeSocket{testing::kEstablished, port, 3, 9, 1,
                                        testing::Attribute(INET_DIAG_CGROUP_ID, "12345678")}
                        .Payload());
  }
  good += Done(kSequence);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (auto flips = random() % 6; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    bytes.resize(random() % 3 == 0 ? random() % (bytes.size() + 1) : bytes.size());
    SocketProbeOptions options;
    if (round % 2 == 0) options.ports = {80, 90};
    if (round % 3 == 0) options.cgroups = {5, 6};
    if (round % 5 == 0) options.unsent = Unsent::kNotSent;
    std::vector<PortDepths> rows;
    SocketTally tally(options, &rows);
    tally.Restart();
    // Memory of exactly this size, for AddressSanitizer.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    ParseDatagram(exact, kSequence, &tally);
    tally.Finish();
    ASSERT_FALSE(rows.empty());
    for (std::size_t i = 1; i < rows.size(); ++i) {
      ASSERT_LT(std::tie(rows[i - 1].cgroup, rows[i - 1].port),
                std::tie(rows[i].cgroup, rows[i].port));
    }
  }
}

// ---- Dumps over a socket on whose other end the test answers in the kernel's place.

class FakeKernel {
 public:
  using Datagrams = std::vector<std::string>;

  // The answers to the requests on each socket that is made, one after the other. Sequence numbers
  // are 1 for the first request, and so on.
  explicit FakeKernel(std::vector<Datagrams> sockets) : script_(std::move(sockets)) {}

  absl::StatusOr<NetlinkSocket> Open() {
    return NetlinkSocket::Open([this]() -> absl::StatusOr<OwnedFd> {
      if (made_ == script_.size()) return absl::PermissionDeniedError("no more sockets");
      int ends[2];
      if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return absl::InternalError("socketpair");
      }
      kernel_.emplace_back(ends[1]);
      for (const std::string& datagram : script_[made_]) {
        EXPECT_EQ(::send(ends[1], datagram.data(), datagram.size(), 0),
                  static_cast<ssize_t>(datagram.size()));
      }
      ++made_;
      return OwnedFd(ends[0]);
    });
  }
  std::size_t made() const { return made_; }

 private:
  const std::vector<Datagrams> script_;
  std::size_t made_ = 0;
  std::vector<OwnedFd> kernel_;
};

std::string Request() { return Message(20, 0, "", NLM_F_REQUEST | NLM_F_DUMP); }

struct Result {
  absl::Status status;
  std::vector<std::string> rows;
  std::size_t sockets;
};

Result DumpOnce(std::vector<FakeKernel::Datagrams> script, DumpLimits limits = {}) {
  FakeKernel kernel(std::move(script));
  auto socket = kernel.Open();
  Result result;
  if (!socket.ok()) {
    result.status = socket.status();
    return result;
  }
  Collected sink;
  std::string request = Request();
  limits.time = std::chrono::seconds(60);
  result.status = socket->Dump(absl::MakeSpan(&request[0], request.size()), limits, &sink);
  result.rows = sink.messages;
  result.sockets = kernel.made();
  return result;
}

TEST(NetlinkDump, TakesEveryDatagramUpToTheEnd) {
  const Result result =
      DumpOnce({{Message(20, 1, "a") + Message(20, 1, "b"), Message(20, 1, "c"), Done(1)}});
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(result.rows, ::testing::ElementsAre("a", "b", "c"));
  EXPECT_EQ(result.sockets, 1u);
}

TEST(NetlinkDump, WhatPassesIsTriedAgainAndWhatCameBeforeForgotten) {
  const std::string row = Message(20, 1, "old");
  const FakeKernel::Datagrams good = {Message(20, 2, "new") + Done(2)};
  struct Case {
    const char* name;
    std::vector<FakeKernel::Datagrams> script;
    std::size_t sockets;
  };
  for (const Case& c : {
           // The same socket goes on where the answer came to its end.
           Case{"interrupted", {{row + Done(1, 0, NLM_F_MULTI | NLM_F_DUMP_INTR), good[0]}}, 1},
           Case{"interrupted early",
                {{Message(20, 1, "old", NLM_F_MULTI | NLM_F_DUMP_INTR), Done(1), good[0]}},
                1},
           Case{"EINTR", {{row, Error(1, EINTR)}, good}, 2},
           Case{"ENOBUFS", {{row, Done(1, -ENOBUFS)}, good}, 2},
           Case{"overrun", {{row, Message(NLMSG_OVERRUN, 1, "")}, good}, 2},
           Case{"no end", {{row}, good}, 2},
           Case{"no answer", {{}, good}, 2},
           Case{"cut off", {{std::string(NetlinkSocket::kBufferBytes + 1, 'x')}, good}, 2},
           Case{"malformed", {{row, "garbage"}, good}, 2},
           Case{"empty datagrams without end", {FakeKernel::Datagrams(50, ""), good}, 2},
           Case{"another's rows without end",
                {FakeKernel::Datagrams(50, Message(20, 9, "")), good},
                2},
       }) {
    SCOPED_TRACE(c.name);
    const Result result = DumpOnce(c.script);
    EXPECT_TRUE(result.status.ok()) << result.status;
    EXPECT_THAT(result.rows, ::testing::ElementsAre("new"));
    EXPECT_EQ(result.sockets, c.sockets);
  }
}

TEST(NetlinkDump, AfterTheLastRetryItIsUnavailable) {
  DumpLimits limits;
  limits.retries = 2;
  const Result broken = DumpOnce({{"garbage"}, {"garbage"}, {"garbage"}}, limits);
  EXPECT_TRUE(absl::IsUnavailable(broken.status)) << broken.status;
  EXPECT_EQ(broken.sockets, 3u);
  const auto interrupted = [](std::uint32_t sequence) {
    return Done(sequence, 0, NLM_F_MULTI | NLM_F_DUMP_INTR);
  };
  const Result changing = DumpOnce({{interrupted(1), interrupted(2), interrupted(3)}}, limits);
  EXPECT_TRUE(absl::IsUnavailable(changing.status)) << changing.status;
  limits.retries = 0;
  EXPECT_TRUE(absl::IsUnavailable(DumpOnce({{"garbage"}}, limits).status));
}

TEST(NetlinkDump, ARefusalIsNotTriedAgain) {
  struct Case {
    int error;
    absl::StatusCode code;
  };
  for (const Case& c :
       {Case{EPERM, absl::StatusCode::kPermissionDenied},
        Case{EINVAL, absl::StatusCode::kInvalidArgument}, Case{ENOENT, absl::StatusCode::kNotFound},
        Case{EOPNOTSUPP, absl::StatusCode::kUnimplemented}}) {
    SCOPED_TRACE(c.error);
    const Result result = DumpOnce({{Error(1, c.error)}, {Done(2)}});
    EXPECT_EQ(result.status.code(), c.code) << result.status;
    EXPECT_EQ(result.sockets, 1u);
  }
}

TEST(NetlinkDump, TooManyRowsEndIt) {
  DumpLimits limits;
  limits.messages = 3;
  const std::string row = Message(20, 1, "x");
  EXPECT_TRUE(DumpOnce({{row + row + row, Done(1)}}, limits).status.ok());
  EXPECT_TRUE(
      absl::IsResourceExhausted(DumpOnce({{row + row, row + row, Done(1)}}, limits).status));
}

TEST(NetlinkDump, TheTimeLimitEndsIt) {
  FakeKernel kernel({{Message(20, 1, "x"), Done(1)}});
  auto socket = kernel.Open();
  ASSERT_TRUE(socket.ok());
  Collected sink;
  std::string request = Request();
  DumpLimits limits;
  limits.time = std::chrono::nanoseconds(0);
  EXPECT_TRUE(absl::IsResourceExhausted(
      socket->Dump(absl::MakeSpan(&request[0], request.size()), limits, &sink)));
}

TEST(NetlinkDump, ANewSocketThatCannotBeMadeIsAnError) {
  const Result result = DumpOnce({{"garbage"}});
  EXPECT_TRUE(absl::IsPermissionDenied(result.status)) << result.status;
  EXPECT_TRUE(absl::IsPermissionDenied(DumpOnce({}).status));
}

}  // namespace
}  // namespace seer::internal
