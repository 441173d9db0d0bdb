// Any bytes as the memory of another process: opened, read, changed as a hostile owner may change
// them at any time, and read again. Nothing is read outside, nothing hangs, no number is absurd.
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "queue/reader_process.h"
#include "seer/queue/segment_layout.h"

namespace seer {
namespace {

using internal::QueuesView;
using internal::ReaderProcess;

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kMaxCounters = 1 << 18;

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

void Read(ReaderProcess& process, std::vector<QueueReading>& readings) {
  process.Refresh();
  std::vector<QueueInfo> infos;
  process.AppendInfos(0, &infos);
  Require(infos.size() == process.size());
  if (process.counters() > kMaxCounters) return;  // as Reader does
  NodeReading totals;
  readings.resize(process.size());
  process.Sweep();
  process.Read(false, readings.data(), &totals);
  for (std::size_t i = 0; i < infos.size(); ++i) {
    Require(!infos[i].service.empty() && infos[i].service.size() <= 63);
    Require(infos[i].name.size() <= 48);
    Require(infos[i].channel.has_value() == infos[i].callee.empty());
    Require(std::isfinite(readings[i].mean_depth) && readings[i].mean_depth >= 0);
    Require(std::isfinite(readings[i].mean_wait_ns) && readings[i].mean_wait_ns >= 0);
    Require(!readings[i].timed || infos[i].timed);
  }
  // Nobody counts here: what was allowed for once is no error again.
  totals = NodeReading();
  process.Sweep();
  process.Read(false, readings.data(), &totals);
  Require(totals.counter_errors == 0 && totals.inexact == 0);
  for (const QueueReading& reading : readings) {
    Require(reading.arrivals == 0 && reading.departures == 0 && reading.width == 0);
  }
  process.Read(true, readings.data(), &totals);
  process.ReadNothing(readings.data());
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace seer;  // NOLINT
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
  const auto view = QueuesView::Of(memory, size, header);
  if (!view.ok()) return 0;

  ReaderProcess process(*view, header.stamp_source, (change & 1) != 0);
  std::vector<QueueReading> readings;
  Read(process, readings);
  for (int i = 0; i < 4; ++i) {
    // One byte of the queues' own memory, anywhere.
    const std::size_t at = sizeof header + (change >> (12 * i)) % (size - sizeof header);
    memory[at] = static_cast<char>(memory[at] ^ static_cast<char>(change >> (8 * i) | 1));
    Read(process, readings);
  }
  std::memset(memory + sizeof header, 0, size - sizeof header);  // truncated
  Read(process, readings);
  return 0;
}
