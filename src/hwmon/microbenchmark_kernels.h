// The ten loops. Each works in pieces of some ten to hundred microseconds and looks at the time and
// at `stop` between them.
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
  Pages chase;                 // for pointers: twice the second level, linked
  Pages near;                  // for pointers: within the first and the second level
  std::size_t near_lines = 0;  // of it, that are linked now
  Pages stream;                // memory only
  Pages code;                  // stubs of jumps
  std::size_t stubs = 0;       // as many as the first level holds
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
  // Results:
  Reason reason = Reason::kNone;
  std::uint64_t steps = 0;
  std::uint64_t step_ns = 0;  // in which the steps were made
  std::uint64_t processor_ns = 0;
};
// Runs for options.budget, on the calling thread.
void RunKernel(KernelResources* resources, KernelJob* job);

// A random cycle through `lines` lines of `line` bytes: each holds the address of the next.
void LinkLines(char* data, std::size_t lines, std::size_t line, std::uint64_t seed);

}  // namespace internal
SEER_END_NAMESPACE
