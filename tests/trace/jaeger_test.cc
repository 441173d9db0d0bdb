// jaeger-idl's jaeger.thrift: field numbers and types below are its.
#include "seer/trace/jaeger.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>

#include "tests/trace/thrift_reader.h"
#include "tests/trace/trace_samples.h"

namespace seer {
namespace {

using testing::kStartNs;
using testing::MakeTraceSample;
using testing::ThriftReader;
using testing::ThriftValue;
using testing::TraceSample;
using Type = ThriftValue::Type;

ThriftValue Decode(const SpanBatch& batch, const Topology& topology, ThriftProtocol protocol) {
  const std::string bytes = EncodeJaeger(batch, topology, protocol);
  ThriftReader reader(bytes, protocol == ThriftProtocol::kCompact);
  ThriftValue value = reader.ReadAll();
  EXPECT_TRUE(reader.ok());
  return value;
}

// Tags by key, as text, each of the right type.
std::map<std::string, std::string> CheckTags(const ThriftValue& tags) {
  std::map<std::string, std::string> texts;
  EXPECT_EQ(tags.type, Type::kList);
  for (const ThriftValue& tag : tags.items) {
    EXPECT_EQ(tag[1].type, Type::kString);
    EXPECT_EQ(tag[2].type, Type::kI32);
    EXPECT_EQ(tag.fields.size(), 3u);
    std::string text;
    switch (tag[2].number) {
      case 0:
        EXPECT_EQ(tag[3].type, Type::kString);
        text = tag[3].text;
        break;
      case 2:
        EXPECT_EQ(tag[5].type, Type::kBool);
        text = tag[5].number != 0 ? "true" : "false";
        break;
      case 3:
        EXPECT_EQ(tag[6].type, Type::kI64);
        text = std::to_string(tag[6].number);
        break;
      default:
        ADD_FAILURE() << "vType " << tag[2].number;
    }
    EXPECT_TRUE(texts.emplace(tag[1].text, text).second) << tag[1].text;
  }
  return texts;
}

TEST(Jaeger, BothProtocolsSayTheSameOfSpansOfAllKinds) {
  const TraceSample sample = MakeTraceSample();
  const SpanBatch batch = SpansOfAllKinds(sample);
  for (const Topology& topology : {sample.topology, Topology(7)}) {
    const ThriftValue compact = Decode(batch, topology, ThriftProtocol::kCompact);
    EXPECT_TRUE(compact == Decode(batch, topology, ThriftProtocol::kBinary));
    ASSERT_EQ(compact[2].items.size(), batch.spans.size());
    for (std::size_t n = 0; n < batch.spans.size(); ++n) {
      SCOPED_TRACE(n);
      const Span& span = batch.spans[n];
      const ThriftValue& read = compact[2].items[n];
      for (int required : {1, 2, 3, 4, 8, 9}) EXPECT_EQ(read[required].type, Type::kI64);
      EXPECT_EQ(read[5].type, Type::kString);
      EXPECT_EQ(read[7].type, Type::kI32);
      EXPECT_EQ(static_cast<std::uint64_t>(read[1].number), span.trace_id().low);
      EXPECT_EQ(static_cast<std::uint64_t>(read[2].number), span.trace_id().high);
      EXPECT_EQ(static_cast<std::uint64_t>(read[3].number), span.span_id());
      EXPECT_EQ(static_cast<std::uint64_t>(read[4].number), span.parent_id());
      EXPECT_EQ(read[8].number, span.start_ns() / 1000);
      EXPECT_EQ(read[9].number, span.duration_ns() / 1000);
      const auto tags = CheckTags(read[10]);
      EXPECT_EQ(tags.at("span.kind"), span.side() == SpanSide::kServer ? "server" : "client");
      EXPECT_EQ(tags.count("error"),
                span.outcome() != Outcome::kOk && span.outcome() != Outcome::kUnknown ? 1u : 0u);
      // Every stamp is a log, exact in its field.
      std::size_t log = 0;
      for (std::size_t i = 0; i < Span::kStamps; ++i) {
        if (!span.stamp(i)) continue;
        ASSERT_LT(log, read[11].items.size());
        const ThriftValue& entry = read[11].items[log++];
        EXPECT_EQ(entry[1].number, *span.stamp(i) / 1000);
        EXPECT_EQ(CheckTags(entry[2]).at("unix_ns"), std::to_string(*span.stamp(i)));
      }
      EXPECT_EQ(log, read[11].items.size());
    }
  }
}

TEST(Jaeger, SaysWhatIsKnown) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.dropped = 5;
  batch.spans = {ServerSpan(sample), ClientSpan(sample)};
  for (ThriftProtocol protocol : {ThriftProtocol::kCompact, ThriftProtocol::kBinary}) {
    const ThriftValue read = Decode(batch, sample.topology, protocol);
    EXPECT_EQ(read[1][1].text, "front");
    const std::map<std::string, std::string> process = {
        {"service.instance.id", "front-0"}, {"hostname", "node-7"}, {"seer.dropped_spans", "5"}};
    EXPECT_EQ(CheckTags(read[1][2]), process);
    EXPECT_EQ(read[3].number, 77);  // sequence number
    const ThriftValue& server = read[2].items[0];
    EXPECT_EQ(server[5].text, "ReadPosts");
    EXPECT_EQ(server[7].number, 1);
    EXPECT_EQ(server[8].number, 1'700'000'000'123'456);
    EXPECT_EQ(server[9].number, 901);
    EXPECT_EQ(CheckTags(server[11].items[1][2]).at("event"), "seer.dequeued");
    const auto client = CheckTags(read[2].items[1][10]);
    EXPECT_EQ(client.at("peer.service"), testing::kHostileNameAsUtf8);
    EXPECT_EQ(client.at("seer.outcome"), "timed-out");
    EXPECT_EQ(client.at("error"), "true");
  }
}

// The bytes themselves, worked out by hand from Thrift's specifications.
TEST(Jaeger, AnEmptyBatchHasTheseBytes) {
  SpanBatch batch;
  batch.sequence = 1;
  using namespace std::string_literals;  // NOLINT(google-build-using-namespace)
  EXPECT_EQ(EncodeJaeger(batch, Topology(), ThriftProtocol::kCompact),
            "\x1c"  // field 1, struct
            "\x18\x0funknown_service"
            "\x19\x0c\0"     // field 2: an empty list of structs; end of the process
            "\x19\x0c"       // field 2: an empty list of structs
            "\x16\x02\0"s);  // field 3: i64 1; end
  EXPECT_EQ(EncodeJaeger(batch, Topology(), ThriftProtocol::kBinary),
            "\x0c\0\x01"
            "\x0b\0\x01\0\0\0\x0funknown_service"
            "\x0f\0\x02\x0c\0\0\0\0\0"
            "\x0f\0\x02\x0c\0\0\0\0"
            "\x0a\0\x03\0\0\0\0\0\0\0\x01\0"s);
}

TEST(Jaeger, HostileSpansAreStillThrift) {
  const TraceSample sample = MakeTraceSample();
  const SpanBatch batch = testing::HostileSpans(sample);
  const ThriftValue compact = Decode(batch, sample.topology, ThriftProtocol::kCompact);
  EXPECT_EQ(compact[2].items.size(), batch.spans.size());
  EXPECT_TRUE(compact == Decode(batch, sample.topology, ThriftProtocol::kBinary));
}

TEST(Jaeger, LongListsSayTheirSizeInFull) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  for (std::size_t spans : {14u, 15u, 16u, 300u}) {
    batch.spans.assign(spans, ServerSpan(sample));
    EXPECT_EQ(Decode(batch, sample.topology, ThriftProtocol::kCompact)[2].items.size(), spans);
  }
}

}  // namespace
}  // namespace seer
