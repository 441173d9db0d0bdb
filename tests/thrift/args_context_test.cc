#include "seer/thrift/internal/args_context.h"

#include <gtest/gtest.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TTransportException.h>
#include <thrift/transport/TVirtualTransport.h>
#include <thrift/transport/TZlibTransport.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "seer/thrift/internal/args_reader.h"
#include "seer/thrift/internal/context_field.h"

namespace seer::internal {
namespace {

namespace thrift = apache::thrift;
using thrift::protocol::TProtocol;
using thrift::transport::TBufferedTransport;
using thrift::transport::TFramedTransport;
using thrift::transport::TMemoryBuffer;
using thrift::transport::TTransport;
using thrift::transport::TZlibTransport;

using Map = std::map<std::string, std::string>;

std::string Traceparent(const TraceContext& context) {
  const auto text = FormatTraceparent(context);
  return std::string(text.data(), text.size());
}

void WriteMap(TProtocol& out, std::int16_t id, const Map& map) {
  out.writeFieldBegin("context", thrift::protocol::T_MAP, id);
  out.writeMapBegin(thrift::protocol::T_STRING, thrift::protocol::T_STRING,
                    static_cast<std::uint32_t>(map.size()));
  for (const auto& [key, value] : map) {
    out.writeString(key);
    out.writeString(value);
  }
  out.writeMapEnd();
  out.writeFieldEnd();
}
void WriteText(TProtocol& out, std::int16_t id, const std::string& text) {
  out.writeFieldBegin("text", thrift::protocol::T_STRING, id);
  out.writeString(text);
  out.writeFieldEnd();
}

using Body = std::function<void(TProtocol&)>;

enum Format { kBinary, kCompact, kJson };
std::shared_ptr<TProtocol> Make(Format format, std::shared_ptr<TTransport> transport) {
  switch (format) {
    case kBinary:
      return std::make_shared<thrift::protocol::TBinaryProtocol>(transport);
    case kCompact:
      return std::make_shared<thrift::protocol::TCompactProtocol>(transport);
    default:
      return std::make_shared<thrift::protocol::TJSONProtocol>(transport);
  }
}

// A call whose arguments `body` writes, as bytes.
std::string Message(Format format, const Body& body) {
  const auto memory = std::make_shared<TMemoryBuffer>();
  const auto out = Make(format, memory);
  out->writeMessageBegin("echo", thrift::protocol::T_CALL, 1);
  out->writeStructBegin("args");
  body(*out);
  out->writeFieldStop();
  out->writeStructEnd();
  out->writeMessageEnd();
  return memory->getBufferAsString();
}

std::shared_ptr<TMemoryBuffer> Holding(const std::string& bytes) {
  const auto memory = std::make_shared<TMemoryBuffer>();
  memory->write(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                static_cast<std::uint32_t>(bytes.size()));
  return memory;
}

// What a server's generated code finds in the arguments: texts and maps by id.
struct Args {
  std::map<int, std::string> texts;
  std::map<int, Map> maps;
  std::map<int, Args> structs;
  int others = 0;
};

void ReadStruct(TProtocol& in, Args* args) {
  std::string name;
  in.readStructBegin(name);
  for (;;) {
    thrift::protocol::TType type = thrift::protocol::T_STOP;
    std::int16_t id = 0;
    in.readFieldBegin(name, type, id);
    if (type == thrift::protocol::T_STOP) break;
    if (type == thrift::protocol::T_STRING) {
      in.readString(args->texts[id]);
    } else if (type == thrift::protocol::T_STRUCT) {
      ReadStruct(in, &args->structs[id]);
    } else if (type == thrift::protocol::T_MAP) {
      thrift::protocol::TType key = thrift::protocol::T_STOP, value = thrift::protocol::T_STOP;
      std::uint32_t size = 0;
      in.readMapBegin(key, value, size);
      Map& map = args->maps[id];
      for (std::uint32_t i = 0; i < size; ++i) {
        if (key != thrift::protocol::T_STRING || value != thrift::protocol::T_STRING) {
          in.skip(key);
          in.skip(value);
          continue;
        }
        std::string k, v;
        in.readString(k);
        in.readString(v);
        map[k] = v;
      }
      in.readMapEnd();
    } else {
      ++args->others;
      in.skip(type);
    }
    in.readFieldEnd();
  }
  in.readStructEnd();
}

struct Server {
  TraceContext context;
  bool taken = false;
  Args args;
};

enum Way { kPeek, kReader, kPlain };
Server Serve(std::shared_ptr<TProtocol> in, Way way) {
  Server server;
  if (way == kReader) in = std::make_shared<ArgsReader>(in, &server.context);
  std::string name;
  thrift::protocol::TMessageType type = thrift::protocol::T_CALL;
  std::int32_t seqid = 0;
  in->readMessageBegin(name, type, seqid);
  if (way == kPeek) server.taken = TakeContext(in.get(), &server.context);
  ReadStruct(*in, &server.args);
  in->readMessageEnd();
  return server;
}
Server Serve(Format format, const std::string& message, Way way) {
  return Serve(Make(format, Holding(message)), way);
}

TEST(ArgsContext, TakesTheFirstFieldAndLeavesTheRestAsItWas) {
  const TraceContext sent = NewRoot();
  for (const Format format : {kBinary, kCompact}) {
    for (const std::int16_t id : {kContextField, kOldContextField}) {
      SCOPED_TRACE(testing::Message() << format << " " << id);
      const std::string message = Message(format, [&](TProtocol& out) {
        WriteMap(out, id, {{"traceparent", Traceparent(sent)}});
        WriteText(out, 1, "hello");
        WriteText(out, 2, "world");
      });
      const Server server = Serve(format, message, kPeek);
      EXPECT_TRUE(server.taken);
      EXPECT_EQ(server.context, sent);
      EXPECT_EQ(server.args.texts, (std::map<int, std::string>{{1, "hello"}, {2, "world"}}));
      EXPECT_TRUE(server.args.maps.empty());
      // Who knows nothing of seer reads the same.
      EXPECT_EQ(Serve(format, message, kPlain).args.texts, server.args.texts);
    }
  }
}

// The quick way to read seer's own field says what the general way says, or nothing.
TEST(ArgsContext, TheQuickWayFindsWhatTheGeneralOneFinds) {
  const auto check = [](const std::string& bytes) {
    TraceContext quick;
    const std::size_t taken = args::OwnContext(bytes, &quick);
    EXPECT_EQ(taken != 0, quick.valid());
    if (taken == 0) return false;
    ContextInBytes found;
    FindContext(bytes, &found);
    EXPECT_EQ(taken, found.consumed);
    EXPECT_EQ(quick, found.context);
    return true;
  };
  for (const std::string_view start : {args::kBinaryStart, args::kCompactStart}) {
    const auto field = [&](const TraceContext& context) {
      return std::string(start) + Traceparent(context).substr(args::kVersionBytes) +
             std::string(1, '\0');  // the arguments' end
    };
    for (int i = 0; i < 1000; ++i) {
      TraceContext context = NewRoot();
      context.flags = static_cast<std::uint8_t>(i % 4);
      ASSERT_TRUE(check(field(context)));
    }
    const std::string bytes = field(NewRoot());
    int other_values = 0;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string other = bytes;
        other[at] = static_cast<char>(c);
        other_values += check(other);
      }
      EXPECT_FALSE(check(bytes.substr(0, at)));  // it may go on
    }
    // Digits of other ids, of other flags, and other fields behind it.
    EXPECT_GT(other_values, 48 * 15);
    TraceContext no_trace = NewRoot();
    no_trace.trace_id = TraceId();
    EXPECT_FALSE(check(field(no_trace)));
    TraceContext no_span = NewRoot();
    no_span.span_id = 0;
    EXPECT_FALSE(check(field(no_span)));
  }
}

// And what is written in one piece is what FormatTraceparent() says.
TEST(ArgsContext, TheFieldInOnePieceHoldsTheTraceparent) {
  const auto written = [](const auto& field) {
    return std::string(reinterpret_cast<const char*>(field.data()), field.size());
  };
  for (int i = 0; i < 1000; ++i) {
    TraceContext context = NewRoot();
    context.flags = static_cast<std::uint8_t>(i);
    const std::string rest = Traceparent(context).substr(args::kVersionBytes);
    ASSERT_EQ(written(BinaryContextField(context)), std::string(args::kBinaryStart) + rest);
    ASSERT_EQ(written(CompactContextField(context)), std::string(args::kCompactStart) + rest);
  }
}

TEST(ArgsContext, NoContextNoChange) {
  for (const Format format : {kBinary, kCompact, kJson}) {
    const std::string message = Message(format, [](TProtocol& out) { WriteText(out, 1, "hello"); });
    const Server server = Serve(format, message, kPeek);
    EXPECT_FALSE(server.taken);
    EXPECT_FALSE(server.context.valid());
    EXPECT_EQ(server.args.texts, (std::map<int, std::string>{{1, "hello"}}));
  }
}

TEST(ArgsContext, TracestateAndOtherFormatsAreRead) {
  TraceContext sent = NewRoot();
  sent.tracestate = ParseTracestate("rojo=1,congo=2");
  const auto b3 = FormatB3(sent);
  for (const Format format : {kBinary, kCompact}) {
    Server server = Serve(
        format,
        Message(format,
                [&](TProtocol& out) {
                  WriteMap(out, 8888,
                           {{"traceparent", Traceparent(sent)}, {"tracestate", *sent.tracestate}});
                  WriteText(out, 1, "x");
                }),
        kPeek);
    EXPECT_EQ(server.context, sent);
    EXPECT_TRUE(server.args.maps.empty());
    server = Serve(format,
                   Message(format,
                           [&](TProtocol& out) {
                             WriteMap(out, 3333, {{"b3", std::string(b3.data(), b3.size())}});
                             WriteText(out, 1, "x");
                           }),
                   kPeek);
    EXPECT_EQ(server.context.trace_id, sent.trace_id);
    EXPECT_EQ(server.args.texts.at(1), "x");
  }
}

// A peer may send both ids, or one that is not valid first.
TEST(ArgsContext, OfSeveralFieldsTheFirstValidOneWins) {
  const TraceContext first = NewRoot(), second = NewRoot();
  for (const Format format : {kBinary, kCompact}) {
    for (const Way way : {kPeek, kReader}) {
      const Server server =
          Serve(format,
                Message(format,
                        [&](TProtocol& out) {
                          WriteMap(out, 3333, {{"traceparent", "00-bad"}});
                          WriteMap(out, 8888, {{"traceparent", Traceparent(first)}});
                          WriteMap(out, 3333, {{"traceparent", Traceparent(second)}});
                          WriteText(out, 1, "x");
                        }),
                way);
      EXPECT_EQ(server.context, first);
      EXPECT_EQ(server.args.texts.at(1), "x");
    }
  }
}

// Acceptance 16.
TEST(ArgsContext, TheUsersOwnFieldsArriveUntouched) {
  const TraceContext sent = NewRoot();
  const Map notes = {{"traceparent", Traceparent(sent)}, {"note", "mine"}};
  const Map other = {{"a", "b"}, {"c", "d"}};
  struct Case {
    const char* what;
    Body body;
    bool context;
  };
  const std::vector<Case> cases = {
      {"text", [](TProtocol& out) { WriteText(out, 8888, "mine"); }, false},
      {"map", [&](TProtocol& out) { WriteMap(out, 3333, other); }, false},
      {"map with a context and more", [&](TProtocol& out) { WriteMap(out, 8888, notes); }, true},
      {"empty map", [&](TProtocol& out) { WriteMap(out, 8888, {}); }, false},
      {"map of numbers",
       [&](TProtocol& out) {
         out.writeFieldBegin("", thrift::protocol::T_MAP, 8888);
         out.writeMapBegin(thrift::protocol::T_I32, thrift::protocol::T_I64, 1);
         out.writeI32(7);
         out.writeI64(8);
         out.writeMapEnd();
         out.writeFieldEnd();
       },
       false},
  };
  for (const Case& c : cases) {
    for (const Format format : {kBinary, kCompact, kJson}) {
      SCOPED_TRACE(testing::Message() << c.what << " " << format);
      const std::string message = Message(format, [&](TProtocol& out) {
        c.body(out);
        WriteText(out, 1, "x");
      });
      const Args plain = Serve(format, message, kPlain).args;
      for (const Way way : {kPeek, kReader}) {
        const Server server = Serve(format, message, way);
        EXPECT_EQ(server.args.texts, plain.texts);
        EXPECT_EQ(server.args.maps, plain.maps);
        EXPECT_EQ(server.args.others, plain.others);
        EXPECT_EQ(server.context.valid(), c.context && (way == kReader || format != kJson));
      }
    }
  }
}

TEST(ArgsContext, AMapOfBytesInJsonToo) {
  const std::string bytes("\0\xFFno text", 9);
  const std::string message = Message(kJson, [&](TProtocol& out) {
    out.writeFieldBegin("", thrift::protocol::T_MAP, 8888);
    out.writeMapBegin(thrift::protocol::T_STRING, thrift::protocol::T_STRING, 1);
    out.writeString("key");
    out.writeBinary(bytes);
    out.writeMapEnd();
    out.writeFieldEnd();
  });
  TraceContext context;
  ArgsReader in(Make(kJson, Holding(message)), &context);
  std::string text;
  thrift::protocol::TMessageType type = thrift::protocol::T_CALL;
  thrift::protocol::TType field = thrift::protocol::T_STOP, key = field, value = field;
  std::int32_t seqid = 0;
  std::int16_t id = 0;
  std::uint32_t size = 0;
  in.readMessageBegin(text, type, seqid);
  in.readStructBegin(text);
  in.readFieldBegin(text, field, id);
  EXPECT_EQ(id, 8888);
  in.readMapBegin(key, value, size);
  in.readString(text);
  EXPECT_EQ(text, "key");
  in.readBinary(text);
  EXPECT_EQ(text, bytes);
  in.readMapEnd();
  in.readFieldEnd();
  in.readFieldBegin(text, field, id);
  EXPECT_EQ(field, thrift::protocol::T_STOP);
}

// Compact writes ids as distances: 8890 stands as 2 behind 8888, and would be 2 if that were gone.
TEST(ArgsContext, FieldsBehindTheContextKeepTheirIds) {
  const TraceContext sent = NewRoot();
  for (const int id : {1, 8887, 8889, 8890, 8903, 8904, 32767}) {
    const Server server = Serve(kCompact,
                                Message(kCompact,
                                        [&](TProtocol& out) {
                                          WriteMap(out, 8888, {{"traceparent", Traceparent(sent)}});
                                          WriteText(out, static_cast<std::int16_t>(id), "x");
                                        }),
                                kPeek);
    EXPECT_EQ(server.context, sent);
    EXPECT_EQ(server.args.texts, (std::map<int, std::string>{{id, "x"}}));
  }
}

// Acceptance 18: where other tracers put it.
TEST(ArgsContext, TheReaderFindsItLastAndNested) {
  const TraceContext sent = NewRoot();
  const Map field = {{"traceparent", Traceparent(sent)}};
  for (const Format format : {kBinary, kCompact, kJson}) {
    for (const std::int16_t id : {kContextField, kOldContextField}) {
      SCOPED_TRACE(testing::Message() << format << " " << id);
      const std::string last = Message(format, [&](TProtocol& out) {
        WriteText(out, 1, "x");
        WriteMap(out, id, field);
      });
      const auto nested = [&](int depth) {
        return Message(format, [&](TProtocol& out) {
          for (int i = 1; i < depth; ++i) {
            out.writeFieldBegin("s", thrift::protocol::T_STRUCT, 1);
            out.writeStructBegin("S");
          }
          WriteText(out, 2, "y");
          WriteMap(out, id, field);
          for (int i = 1; i < depth; ++i) {
            out.writeFieldStop();
            out.writeStructEnd();
            out.writeFieldEnd();
          }
          WriteText(out, 3, "z");
        });
      };
      Server server = Serve(format, last, kReader);
      EXPECT_EQ(server.context, sent);
      EXPECT_EQ(server.args.texts, (std::map<int, std::string>{{1, "x"}}));
      EXPECT_TRUE(server.args.maps.empty());
      server = Serve(format, nested(2), kReader);
      EXPECT_EQ(server.context, sent);
      EXPECT_EQ(server.args.structs.at(1).texts.at(2), "y");
      EXPECT_TRUE(server.args.structs.at(1).maps.empty());
      EXPECT_EQ(server.args.texts.at(3), "z");
      // No deeper: that is the user's data.
      server = Serve(format, nested(3), kReader);
      EXPECT_FALSE(server.context.valid());
      EXPECT_EQ(server.args.structs.at(1).structs.at(1).maps.at(id), field);
    }
  }
}

// Acceptance 17: too much is left to the generated code.
TEST(ArgsContext, WhatIsTooLargeIsNotLookedAt) {
  const std::string parent = Traceparent(NewRoot());
  Map many = {{"traceparent", parent}};
  for (int i = 0; i < 100; ++i) many["x-b3-" + std::to_string(i)] = "1";
  const Map large = {{"b3", std::string(1 << 20, 'x')}, {"traceparent", parent}};
  for (const Map& map : {many, large}) {
    for (const Format format : {kBinary, kCompact}) {
      for (const Way way : {kPeek, kReader}) {
        const Server server = Serve(format,
                                    Message(format,
                                            [&](TProtocol& out) {
                                              WriteMap(out, 8888, map);
                                              WriteText(out, 1, "x");
                                            }),
                                    way);
        EXPECT_FALSE(server.context.valid());
        EXPECT_EQ(server.args.maps.at(8888), map);
        EXPECT_EQ(server.args.texts.at(1), "x");
      }
    }
  }
  // 2^28 entries that are not there: refused by the protocol, as without seer. (2^31 overflow an
  // int of Thrift's own before that.)
  std::string message = Message(kBinary, [&](TProtocol& out) { WriteMap(out, 8888, many); });
  const std::size_t at = message.find(std::string("\x0B\x0B\0\0\0\x65", 6));
  ASSERT_NE(at, std::string::npos);
  message.replace(at + 2, 4, "\x0F\xFF\xFF\xFF");
  for (const Way way : {kPlain, kPeek, kReader}) {
    EXPECT_THROW(Serve(kBinary, message, way), thrift::TException);
  }
}

TEST(ArgsContext, TenThousandFieldsAreBounded) {
  const TraceContext sent = NewRoot();
  for (const Format format : {kBinary, kCompact, kJson}) {
    for (const Way way : {kPeek, kReader}) {
      const Server server =
          Serve(format,
                Message(format,
                        [&](TProtocol& out) {
                          for (int i = 0; i < 10000; ++i) {
                            WriteMap(out, 8888, {{"traceparent", "no"}});
                          }
                          WriteMap(out, 8888, {{"traceparent", Traceparent(sent)}});
                          WriteText(out, 1, "x");
                        }),
                way);
      EXPECT_FALSE(server.context.valid());
      EXPECT_EQ(server.args.texts.at(1), "x");
    }
  }
}

TEST(ArgsContext, EveryTruncationEndsAsItDoesWithoutSeer) {
  const TraceContext sent = NewRoot();
  for (const Format format : {kBinary, kCompact}) {
    const std::string message = Message(format, [&](TProtocol& out) {
      WriteMap(out, 8888, {{"traceparent", Traceparent(sent)}, {"tracestate", "a=b"}});
      WriteText(out, 1, "hello");
    });
    for (std::size_t size = 0; size < message.size(); ++size) {
      const std::string part = message.substr(0, size);
      for (const Way way : {kPlain, kPeek, kReader}) {
        EXPECT_THROW(Serve(format, part, way), thrift::TException) << size << " " << way;
      }
    }
  }
}

// Gives one byte, or a few, with each read: a TCP connection at its worst.
class Trickle : public TTransport {
 public:
  Trickle(std::string bytes, std::size_t at_once) : bytes_(std::move(bytes)), at_once_(at_once) {}
  std::uint32_t read_virt(std::uint8_t* buffer, std::uint32_t size) override {
    const std::size_t n = std::min({std::size_t{size}, at_once_, bytes_.size() - at_});
    std::copy_n(bytes_.data() + at_, n, reinterpret_cast<char*>(buffer));
    at_ += n;
    return static_cast<std::uint32_t>(n);
  }

 private:
  const std::string bytes_;
  const std::size_t at_once_;
  std::size_t at_ = 0;
};

TEST(ArgsContext, ABufferedTransportMayHoldAnyPartOfIt) {
  const TraceContext sent = NewRoot();
  for (const Format format : {kBinary, kCompact}) {
    const std::string message = Message(format, [&](TProtocol& out) {
      WriteMap(out, 8888, {{"traceparent", Traceparent(sent)}});
      WriteText(out, 1, std::string(1000, 'x'));
    });
    for (const std::size_t at_once : {1, 2, 3, 7, 40, 83, 90, 512, 4096}) {
      for (const std::uint32_t buffer : {16u, 100u, 512u, 4096u}) {
        SCOPED_TRACE(testing::Message() << format << " " << at_once << " " << buffer);
        const auto transport = std::make_shared<TBufferedTransport>(
            std::make_shared<Trickle>(message + message, at_once), buffer);
        const auto in = Make(format, transport);
        for (int call = 0; call < 2; ++call) {  // the second one begins anywhere in the buffer
          const Server server = Serve(in, kPeek);
          EXPECT_EQ(server.context.valid(), buffer >= 100);
          if (buffer >= 100) {
            EXPECT_EQ(server.context, sent);
          }
          EXPECT_EQ(server.args.texts.at(1), std::string(1000, 'x'));
        }
      }
    }
  }
}

TEST(ArgsContext, ItIsKnownWhereToLook) {
  const auto memory = std::make_shared<TMemoryBuffer>();
  const auto framed = std::make_shared<TFramedTransport>(memory);
  const auto unbuffered = std::make_shared<Trickle>("", 1);
  EXPECT_FALSE(ArgsOf(*Make(kBinary, memory)).reader);
  EXPECT_FALSE(ArgsOf(*Make(kCompact, framed)).reader);
  EXPECT_TRUE(ArgsOf(*Make(kJson, framed)).reader);
  EXPECT_TRUE(ArgsOf(*Make(kBinary, unbuffered)).reader);
  EXPECT_TRUE(ArgsOf(*Make(kCompact, unbuffered)).reader);
  // Shows what it has decompressed so far, which may end within the field.
  EXPECT_TRUE(ArgsOf(*Make(kBinary, std::make_shared<TZlibTransport>(memory))).reader);
  // Functions of its own have to be called.
  class Own final : public apache::thrift::transport::TVirtualTransport<Own, TMemoryBuffer> {};
  EXPECT_EQ(ArgsOf(*Make(kBinary, memory)).buffer, memory.get());
  EXPECT_EQ(ArgsOf(*Make(kBinary, framed)).buffer, framed.get());
  EXPECT_EQ(ArgsOf(*Make(kBinary, std::make_shared<Own>())).buffer, nullptr);
  EXPECT_FALSE(ArgsOf(*Make(kBinary, std::make_shared<Own>())).reader);
}

}  // namespace
}  // namespace seer::internal
