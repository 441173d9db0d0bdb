// A span with LTTng-UST, at equal content: the ids, method and outcome, and four stamps, of which
// the event's own time is one. In a snapshot session (the flight recorder: no consumer that writes
// while we measure), with a session daemon of this process's own, which ends with it. Where none
// can be started the figure is missing, and the benchmark says why.
#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "benchmarks/harness/figure.h"

namespace seer::bench {
namespace {

class LttngSession {
 public:
  LttngSession() {
    char home[] = "/tmp/seer-bench-lttng-XXXXXX";
    if (mkdtemp(home) == nullptr) {
      why_ = "cannot make a directory in /tmp";
      return;
    }
    home_ = home;
    setenv("LTTNG_HOME", home, 1);
    if (!Run("command -v lttng-sessiond && command -v lttng")) {
      why_ = "lttng-tools is not installed";
      return;
    }
    // One that runs already (root's) is used, and left running.
    if (!Run("lttng --no-sessiond list") &&
        !Run("lttng-sessiond --background --no-kernel --pidfile=" + home_ + "/pid")) {
      why_ = "lttng-sessiond does not start";
      return;
    }
    name_ = "seer-bench-" + std::to_string(getpid());
    if (!Run("lttng create " + name_ + " --snapshot --output=" + home_ + "/out") ||
        !Run("lttng enable-channel -s " + name_ +
             " -u spans --overwrite --subbuf-size=1M --num-subbuf=4") ||
        !Run("lttng enable-event -s " + name_ + " -u -c spans seer_bench:span") ||
        !Run("lttng start " + name_)) {
      why_ = "the session daemon refuses the session";
      return;
    }
    void* const library = dlopen(SEER_BENCH_LTTNG_SPAN, RTLD_NOW);
    if (library == nullptr) {
      why_ = dlerror();
      return;
    }
    span_ = reinterpret_cast<Span*>(dlsym(library, "seer_bench_lttng_span"));
    auto* const enabled = reinterpret_cast<Enabled*>(dlsym(library, "seer_bench_lttng_enabled"));
    for (int i = 0; i < 1000 && enabled() == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (enabled() == 0) why_ = "the session daemon does not enable the tracepoint";
  }
  ~LttngSession() {
    if (!name_.empty()) Run("lttng destroy " + name_);
    std::ifstream file(home_ + "/pid");
    pid_t pid = 0;
    if (file >> pid && pid > 1) kill(pid, SIGTERM);
    std::error_code ignored;
    if (!home_.empty()) std::filesystem::remove_all(home_, ignored);
  }

  using Span = void(const std::uint64_t*);
  const std::string& why_not() const { return why_; }
  Span* span() const { return span_; }

 private:
  using Enabled = int();
  static bool Run(const std::string& command) {
    return std::system(("(" + command + ") >/dev/null 2>&1 </dev/null").c_str()) == 0;
  }

  std::string home_, name_, why_;
  Span* span_ = nullptr;
};

void BM_LttngSpan(benchmark::State& state) {
  static const LttngSession session;
  if (!session.why_not().empty()) {
    state.SkipWithError(session.why_not().c_str());
    return;
  }
  const std::uint64_t ids[5] = {0x1122334455667788, 0x99aabbccddeeff00, 0x1234567890abcdef, 42, 7};
  auto* const span = session.span();
  for (auto _ : state) span(ids);
}
BENCHMARK(BM_LttngSpan);

SEER_FIGURE(lttng, Speedup("trace.vs_lttng", ">= 3", "BM_Span", "BM_LttngSpan",
                           "LTTng-UST, equal content"));

}  // namespace
}  // namespace seer::bench
