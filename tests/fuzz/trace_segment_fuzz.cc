// Any bytes as the spans of another process: looked at, drained, changed as a hostile owner may
// change them at any time, and drained again. Nothing is read or written outside, nothing hangs,
// and what comes out are spans.
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "seer/core/tsc_clock.h"
#include "seer/trace/drainer.h"
#include "seer/trace/sink.h"
#include "trace/segment_drain.h"
#include "trace/span_outlet.h"
#include "trace/span_rings.h"

namespace seer {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxSpans = 4096;
constexpr std::size_t kMaxRows = 64;

void Require(bool condition) {
  if (!condition) std::abort();
}

// Its end is the end of the accessible memory: who reads on is caught.
char* MemoryOf(std::size_t bytes) {
  static char* const end = [] {
    void* const all = mmap(nullptr, kMaxBytes + kPage, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Require(all != MAP_FAILED);
    Require(mprotect(static_cast<char*>(all) + kMaxBytes, kPage, PROT_NONE) == 0);
    return static_cast<char*>(all) + kMaxBytes;
  }();
  return end - bytes;
}

class CheckingSink final : public TraceSink {
 public:
  absl::Status Write(const SpanBatch& batch) override {
    for (const Span& span : batch.spans) {
      Require(span.StampsAreOrdered() && span.duration_ns() >= 0);
      Require(span.outcome() <= Outcome::kRejected);
    }
    spans_ += batch.spans.size();
    return spans_ % 3 == 0 ? absl::UnavailableError("not now") : absl::OkStatus();
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }

 private:
  std::size_t spans_ = 0;
};

void Drain(internal::SegmentDrain& drain, internal::SpanOutlet& outlet) {
  const std::uint64_t before = outlet.counts().delivered + outlet.counts().waiting;
  drain.HoldLease(1'700'000'000'000, 10'000).IgnoreError();
  std::size_t budget = kMaxSpans;
  absl::Status first;
  drain.Drain(&outlet, &budget, &first, nullptr);
  outlet.HandOnAll().IgnoreError();
  Require(budget <= kMaxSpans);
  Require(outlet.counts().delivered + outlet.counts().waiting - before == kMaxSpans - budget);
  const Topology& topology = outlet.topology();
  Require(topology.services().size() <= kMaxRows && topology.methods().size() <= kMaxRows &&
          topology.edges().size() <= kMaxRows && topology.instances().size() <= kMaxRows);
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace seer;  // NOLINT
  static const TscClock clock(TscClock::Source::kClockGettime);
  // The last eight bytes say what the owner changes afterwards.
  constexpr std::size_t kChange = 8;
  if (size < kChange || size > kMaxBytes) return 0;
  std::uint64_t change = 0;
  std::memcpy(&change, data + size - kChange, kChange);
  size = (size - kChange) / 64 * 64;  // a segment begins where a page does, so keep lines whole
  char* const memory = MemoryOf(size);
  std::memcpy(memory, data, size);
  seer_segment_header header = {};
  std::memcpy(&header, memory, std::min(size, sizeof header));
  const auto rings =
      internal::SpanRings::Of(absl::MakeConstSpan(memory, size), header, (change & 1) != 0);
  if (!rings.ok()) return 0;

  internal::SpanOutlet outlet(std::make_shared<CheckingSink>(), 16, kMaxRows,
                              *Topology::OfNode("node", 1));
  Require(outlet.topology().origin().epoch == 1);
  internal::SegmentDrain drain(*rings, "instance", header.pid, &clock, nullptr);
  Drain(drain, outlet);
  for (int i = 0; i < 4; ++i) {
    const std::size_t at = sizeof header + (change >> (12 * i)) % (size - sizeof header);
    memory[at] = static_cast<char>(memory[at] ^ static_cast<char>(change >> (8 * i) | 1));
    Drain(drain, outlet);
  }
  drain.GiveLeaseBack();
  std::memset(memory + sizeof header, 0, size - sizeof header);  // truncated
  Drain(drain, outlet);
  return 0;
}
