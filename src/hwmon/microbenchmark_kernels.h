// The ten loops. Each works in pieces of some ten microseconds and looks at the time and at `stop`
// between them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hwmon/files.h"
#include "seer/hwmon/microbenchmark.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Memory of the kernel's, not the heap's: touched, so that no page is missing later.
class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes);
  Pages(Pages&& other) noexcept { *this = static_cast<Pages&&>(other); }
  Pages& operator=(Pages&& other) noexcept;
  ~Pages();
  char* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool MakeExecutable();

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

struct KernelResources {
  MicrobenchmarkOptions options;
  Pages chase;  // for pointers: twice the second level, linked
  // For pointers within the first and the second level, each with its lines that are linked now.
  Pages near[2];
  std::size_t near_lines[2] = {};
  Pages stream;           // memory only
  Pages code;             // stubs of jumps
  std::size_t stubs = 0;  // as many as the first level holds
  Reason code_reason = Reason::kNotSupported;
  OwnedFd file;  // disk only, pre-made
  Reason file_reason = Reason::kNotObserved;
};
void PrepareKernels(KernelResources* resources);

struct KernelJob {
  Microbenchmark benchmark = Microbenchmark::kCpu;
  double intensity = 0;
  std::size_t memory_room = 0;
  const std::atomic<bool>* stop = nullptr;
  // Gives way between any two pieces of work, for runs in idle time; each millisecond where that
  // costs it one, as another in idle time then takes the processor for a tick. The kernel alone
  // does not see to that: on Linux 6.18 a service that woke up beside such a run waited for up to a
  // tick of 4 ms now and then, as if the scheduler (EEVDF) still owed the run some time; who gives
  // way is owed nothing.
  bool gives_way = false;
  // Results:
  Reason reason = Reason::kNone;
  std::uint64_t steps = 0;
  std::uint64_t step_ns = 0;  // in which the steps were made
  std::uint64_t processor_ns = 0;
};
// What takes a while before the run and needs no place: on the caller's thread, so that the
// victim's processor is not kept busy with it.
void PrepareKernel(KernelResources* resources, const KernelJob& job);
// Runs for options.budget, on the calling thread.
void RunKernel(KernelResources* resources, KernelJob* job);

// A random cycle through `lines` lines of `line` bytes: each holds the address of the next.
void LinkLines(char* data, std::size_t lines, std::size_t line, std::uint64_t seed);

}  // namespace internal
SEER_END_NAMESPACE
