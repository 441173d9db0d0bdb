#include "seer/window/violation_labeller.h"

#include <chrono>
#include <vector>

#include "gtest/gtest.h"
#include "seer/window/span_depths.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// client -> front -> back, 100 requests a second. From 40 s to 42 s a service is slow.
class ViolationLabellerTest : public ::testing::Test {
 protected:
  ViolationLabellerTest() {
    front_ = topology_.AddService("front").value();
    back_ = topology_.AddService("back").value();
    in_ = topology_.AddEdge(ServiceId(), front_).value();
    down_ = topology_.AddEdge(front_, back_).value();
    page_ = topology_
                .AddRequestClass("", "page",
                                 QosTarget::Percentile(0.99, std::chrono::milliseconds(60),
                                                       std::chrono::seconds(1)),
                                 front_)
                .value();
  }

  std::vector<LabelledViolation> Label(bool with_spans, bool back_is_slow, Tick last_tick = 500) {
    ViolationLabellerOptions options;
    ViolationLabeller labeller(options, &topology_);
    SpanDepthsOptions depths_options;
    depths_options.reorder_ns = 3'000 * kMs;
    SpanDepths depths(depths_options, &topology_, [&](const ClusterTick& tick) {
      if (tick.tick <= last_tick) labeller.Observe(tick);
    });
    for (std::int64_t i = 0; i < 5000; ++i) {
      const std::int64_t at = i * 10 * kMs;
      const bool fault = i >= 4000 && i < 4200;
      const std::int64_t own = (fault && !back_is_slow ? 200 : 5) * kMs;
      const std::int64_t below = (fault && back_is_slow ? 200 : 5) * kMs;
      SpanInterval request;
      request.trace = {1, static_cast<std::uint64_t>(i) + 1};
      request.span_id = 1;
      request.callee = front_;
      request.edge = in_;
      request.request_class = page_;
      request.root = true;
      request.start_ns = at;
      request.end_ns = at + own + below;
      SpanInterval call = request;
      call.span_id = 2;
      call.parent_id = 1;
      call.root = false;
      call.caller = front_;
      call.callee = back_;
      call.edge = down_;
      call.request_class = ClassId();
      call.start_ns = at + own;
      request.side = SpanSide::kServer;
      for (const SpanInterval& span : {request, call}) {
        if (with_spans) labeller.Add(span);
        depths.Add(span);
      }
    }
    depths.Finish();
    labeller.Finish();
    return labeller.Take();
  }

  Topology topology_;
  ServiceId front_, back_;
  EdgeId in_, down_;
  ClassId page_;
};

TEST_F(ViolationLabellerTest, NamesTheCulpritByTraces) {
  for (const bool back_is_slow : {true, false}) {
    const std::vector<LabelledViolation> found = Label(true, back_is_slow);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].basis, LabelBasis::kTraces);
    EXPECT_EQ(LabelBasisName(found[0].basis), "traces");
    const Violation& violation = found[0].violation;
    EXPECT_NEAR(static_cast<double>(violation.start_ns) / 1e9, 40.3, 0.2);
    EXPECT_GT(violation.end_ns, violation.start_ns + 1'500 * kMs);
    EXPECT_EQ(violation.initiation, Initiation::kService);
    EXPECT_EQ(violation.culprit, back_is_slow ? back_ : front_);
    EXPECT_GT(violation.confidence, 0.7f);
    EXPECT_FALSE(found[0].found.suspects.empty());
  }
}

TEST_F(ViolationLabellerTest, NamesItByDepthsWhereThereAreNoTraces) {
  for (const bool back_is_slow : {true, false}) {
    const std::vector<LabelledViolation> found = Label(false, back_is_slow);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].basis, LabelBasis::kDepths);
    EXPECT_EQ(found[0].violation.culprit, back_is_slow ? back_ : front_);
    EXPECT_LE(found[0].violation.confidence, 0.7f);
  }
}

TEST_F(ViolationLabellerTest, ARecordingThatEndsWithinAViolationIsLabelledToo) {
  const std::vector<LabelledViolation> found = Label(true, true, 408);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].violation.open);
  EXPECT_EQ(found[0].violation.culprit, back_);
}

TEST_F(ViolationLabellerTest, NothingIsMadeOfNothing) {
  ViolationLabeller labeller({}, &topology_);
  labeller.Finish();
  EXPECT_TRUE(labeller.Take().empty());
}

}  // namespace
}  // namespace seer
