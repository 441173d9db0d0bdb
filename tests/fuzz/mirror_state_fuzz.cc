// Any bytes into what a stand-by is given: deltas and states. Checksums are made right, as a fuzzer
// does not guess them, and a delta is made to be the one that is due. Whatever is accepted can be
// worked with: the nodes' next messages are taken and there are forecasts.
//
// The first byte: 0 a delta's bytes; 1 the kind and payload of the delta that is due; 2 a state.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "seer/core/internal/crc32c.h"
#include "seer/predict/mirror.h"
#include "tests/predict/small_nodes.h"

namespace seer {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

const std::vector<testing::NodeInput>& Inputs() {
  static const auto* const inputs =
      new std::vector<testing::NodeInput>(testing::SmallNodes(1).Send(12));
  return *inputs;
}

void GoOn(Mirror* mirror, ManualClock* clock) {
  if (!mirror->TakeOver(mirror->term() + 1).ok()) return;
  for (std::size_t i = Inputs().size() / 2; i < Inputs().size(); ++i) {
    clock->Set(Inputs()[i].time_ns);
    mirror->ObserveWire(Inputs()[i].bytes).IgnoreError();
    mirror->Predict();
  }
  Require(mirror->topology() != nullptr);
}

void Delta(std::string_view bytes) {
  const auto delta = DecodeDelta(bytes);
  if (!delta.ok()) {
    Require(!delta.status().message().empty());
    return;
  }
  Require(EncodeDelta(*delta) == bytes);
  Require(*PeekDelta(bytes) == bytes.size());
}

struct Standby {
  Standby() {
    MirrorOptions options;
    options.predictor.clock = &clock;
    mirror = Mirror::Create(options).value();
  }
  ManualClock clock;
  std::unique_ptr<Mirror> mirror;
};

void DueDelta(std::string_view bytes) {
  if (bytes.size() < 9) return;
  static const auto* const deltas = [] {
    Standby primary;
    Require(primary.mirror->TakeOver(1).ok());
    for (std::size_t i = 0; i < Inputs().size() / 2; ++i) {
      primary.clock.Set(Inputs()[i].time_ns);
      primary.mirror->ObserveWire(Inputs()[i].bytes).IgnoreError();
    }
    return new std::vector<std::string>(primary.mirror->DeltasAfter(0).value());
  }();
  Standby standby;
  for (const std::string& delta : *deltas) Require(standby.mirror->Apply(delta).ok());
  StateDelta due = DecodeDelta(deltas->back()).value();
  std::memcpy(&due.previous, deltas->back().data() + 60, sizeof(due.previous));
  ++due.sequence;
  due.kind = static_cast<DeltaKind>(bytes[0]);
  if (due.kind == DeltaKind::kTakeOver) ++due.term;
  std::memcpy(&due.time_ns, bytes.data() + 1, sizeof(due.time_ns));
  due.payload = std::string(bytes.substr(9));
  const absl::Status status = standby.mirror->Apply(EncodeDelta(due));
  Require(!absl::IsAlreadyExists(status) && !absl::IsOutOfRange(status));
  GoOn(standby.mirror.get(), &standby.clock);
}

void State(std::string bytes) {
  Standby standby;
  if (!standby.mirror->LoadState(bytes).ok() && bytes.size() >= 16) {
    const std::uint32_t version = 1, crc = internal::Crc32c(std::string_view(bytes).substr(16));
    std::memcpy(&bytes[0], "SEERSTAT", 8);
    std::memcpy(&bytes[8], &version, sizeof(version));
    std::memcpy(&bytes[12], &crc, sizeof(crc));
    if (!standby.mirror->LoadState(bytes).ok()) return;
  }
  GoOn(standby.mirror.get(), &standby.clock);
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 0) seer::Delta(bytes);
  if (data[0] % 3 == 1) seer::DueDelta(bytes);
  if (data[0] % 3 == 2) seer::State(std::string(bytes));
  return 0;
}
