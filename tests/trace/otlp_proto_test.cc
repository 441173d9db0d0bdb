// What the OTLP encoder writes, as libprotobuf understands it and would have written it.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "otlp_trace.pb.h"
#include "seer/trace/otlp.h"
#include "tests/support/otlp_peer.h"
#include "tests/trace/trace_samples.h"

namespace seer {
namespace {

using testing::MakeTraceSample;
using testing::TraceSample;

void ExpectSameAsProtobuf(const SpanBatch& batch, const Topology& topology) {
  const std::string bytes = EncodeOtlp(batch, topology);
  otlp_peer::TracesData parsed;
  ASSERT_TRUE(parsed.ParseFromString(bytes));
  otlp_peer::TracesData expected;
  testing::AddOtlp(batch, topology, &expected);
  ASSERT_EQ(parsed.DebugString(), expected.DebugString());
}

TEST(OtlpProtobuf, ParsesBackToTheSameSpansOfAllKinds) {
  const TraceSample sample = MakeTraceSample();
  ExpectSameAsProtobuf(SpansOfAllKinds(sample), sample.topology);
}

TEST(OtlpProtobuf, HasTheVeryBytesOfLibprotobuf) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.spans = {ServerSpan(sample), ClientSpan(sample)};
  otlp_peer::TracesData expected;
  testing::AddOtlp(batch, sample.topology, &expected);
  EXPECT_EQ(EncodeOtlp(batch, sample.topology), expected.SerializeAsString());
}

TEST(OtlpProtobuf, SaysInNumbersWhatTheTopologyDoesNotKnow) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = SpansOfAllKinds(sample);
  {
    SCOPED_TRACE("another numbering");
    ExpectSameAsProtobuf(batch, Topology(7));
  }
  batch.instance = InstanceId(500);
  {
    SCOPED_TRACE("an unknown instance");
    ExpectSameAsProtobuf(batch, sample.topology);
  }
  batch.instance = InstanceId();
  batch.dropped = 12345;
  {
    SCOPED_TRACE("no instance, and losses");
    ExpectSameAsProtobuf(batch, sample.topology);
  }
  batch.spans.clear();
  {
    SCOPED_TRACE("no spans");
    ExpectSameAsProtobuf(batch, sample.topology);
  }
}

TEST(OtlpProtobuf, LongNamesFit) {
  TraceSample sample = MakeTraceSample();
  const ServiceId service = *sample.topology.AddService(std::string(255, '\xff'));
  const EdgeId edge = *sample.topology.AddEdge(service, ServiceId(0));
  const MethodId method = *sample.topology.AddMethod(service, std::string(255, '\xfe'));
  Span span = ServerSpan(sample);
  span.set_edge(edge);
  span.set_method(method);
  SpanBatch batch = sample.batch;
  batch.spans.assign(3, span);
  ExpectSameAsProtobuf(batch, sample.topology);
}

TEST(OtlpProtobuf, BatchesAppendedToEachOtherAreOneMessage) {
  const TraceSample sample = MakeTraceSample();
  OtlpEncoder encoder;
  std::string bytes;
  otlp_peer::TracesData expected;
  for (int i = 0; i < 3; ++i) {
    SpanBatch batch = SpansOfAllKinds(sample);
    batch.spans.resize(static_cast<std::size_t>(100 * i));
    encoder.Append(batch, sample.topology, &bytes);
    testing::AddOtlp(batch, sample.topology, &expected);
  }
  otlp_peer::TracesData parsed;
  ASSERT_TRUE(parsed.ParseFromString(bytes));
  EXPECT_EQ(parsed.DebugString(), expected.DebugString());
}

// More kinds of spans than the encoder keeps, so that it forgets and learns them again.
TEST(OtlpProtobuf, AnEncoderThatHasSeenTooMuchStillTellsThemApart) {
  TraceSample sample = MakeTraceSample();
  OtlpEncoder encoder;
  for (std::uint32_t round = 0; round < 4; ++round) {
    SpanBatch batch = sample.batch;
    for (std::uint32_t m = 0; m < 3000; ++m) {
      Span span = ServerSpan(sample);
      span.set_method(MethodId(1000 * round + m));
      batch.spans.push_back(span);
    }
    std::string bytes;
    encoder.Append(batch, sample.topology, &bytes);
    otlp_peer::TracesData parsed, expected;
    ASSERT_TRUE(parsed.ParseFromString(bytes));
    testing::AddOtlp(batch, sample.topology, &expected);
    ASSERT_EQ(parsed.SerializeAsString(), expected.SerializeAsString()) << round;
  }
}

}  // namespace
}  // namespace seer
