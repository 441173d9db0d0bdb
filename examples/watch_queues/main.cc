// watch-queues: a service, and beside it another process that watches its queues live.
//
//   watch-queues [--seconds N] [--directory D]             both; without N until Ctrl-C
//   watch-queues --watch [--seconds N] [--directory D]     only watches: all services in D
//   watch-queues --service [--directory D]                 only the service
//
// Where to look: service.cc, for what a service has to do (the lines that end in "// seer"), and
// Watch() below, for the reader.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "screen.h"
#include "seer/queue/reader.h"
#include "service.h"
#include "signals.h"
#include "view.h"

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr char kUsage[] =
    "watch-queues [--watch | --service] [--seconds N] [--directory D]\n"
    "\n"
    "Runs a service in a process of its own and shows its queues, ten times a second.\n"
    "  --watch        only watches: all services in D (by itself /dev/shm/seer)\n"
    "  --service      only runs the service\n"
    "  --seconds N    ends after N seconds; by itself with Ctrl-C\n"
    "  --directory D  where the services publish; by itself a new one\n";

struct Options {
  enum { kBoth, kWatch, kService } mode = kBoth;
  double seconds = std::numeric_limits<double>::infinity();
  std::string directory;
};

// None: the arguments make no sense.
std::optional<Options> Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--watch") {
      options.mode = Options::kWatch;
    } else if (name == "--service") {
      options.mode = Options::kService;
    } else if (name == "--seconds") {
      char* end;
      options.seconds = std::strtod(value, &end);
      if (end == value || *end != '\0' || !(options.seconds > 0)) return std::nullopt;
      ++i;
    } else if (name == "--directory" && *value != '\0') {
      options.directory = value;
      ++i;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

// A new directory, in memory if there is such a place. Removed at the end. "": there is none.
class NewDirectory {
 public:
  NewDirectory() {
    for (const char* const parent : {"/dev/shm", "/tmp"}) {
      std::string path = std::string(parent) + "/seer-watch-XXXXXX";
      if (mkdtemp(path.data()) == nullptr) continue;
      path_ = path;
      return;
    }
  }
  ~NewDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// This program again, as the service. It ends with the object, and should we be killed, by itself.
class ServiceProcess {
 public:
  ServiceProcess(const char* program, const std::string& directory) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(0);
    const char* const arguments[] = {program, "--service", "--directory", directory.c_str(),
                                     nullptr};
    execv("/proc/self/exe", const_cast<char**>(arguments));
    execvp(program, const_cast<char**>(arguments));
    _exit(127);
  }
  ~ServiceProcess() { End(); }
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Waits until it has ended, which it does in good order if it can.
  void End() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    kill(pid_, SIGCONT);
    const auto patience = SteadyClock::now() + std::chrono::seconds(2);
    while (waitpid(pid_, nullptr, WNOHANG) == 0) {
      if (SteadyClock::now() > patience) kill(pid_, SIGKILL);
      usleep(2000);
    }
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

// Shows what the reader sees until the time is over or a signal says so. False: nobody sees it.
bool Watch(seer::Reader& reader, const Options& options, const Signals& signals,
           const std::string& title, View* view) {
  std::optional<Screen> screen;
  if (Screen::Possible()) screen.emplace();
  const auto start = SteadyClock::now();
  for (auto next = start;;) {
    const auto now = SteadyClock::now();
    const seer::NodeReading& reading = reader.Read();
    view->Update(reader, reading, now);
    if (screen) {
      std::vector<ScreenLine> lines = view->Lines(Screen::Columns());
      lines.insert(lines.begin(), {title, "2"});
      if (!screen->Show(lines)) return false;
    } else if (!WriteOut(view->OneLine())) {
      return false;
    }
    next += std::chrono::milliseconds(100);
    if (next < now) next = now;  // we were stopped, or are too slow
    if (std::chrono::duration<double>(next - start).count() > options.seconds) return true;
    switch (signals.Wait(next)) {
      case 0:
      case SIGWINCH:  // the next frame fits
        break;
      case SIGTSTP:  // Ctrl-Z
        if (screen) screen->Leave();
        raise(SIGSTOP);
        if (screen) screen->Enter();
        break;
      default:
        return true;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<Options> options = Parse(argc, argv);
  if (!options) {
    std::fputs(kUsage, argc == 2 && std::strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  std::optional<NewDirectory> made;
  if (options->directory.empty() && options->mode == Options::kBoth) {
    options->directory = made.emplace().path();
    if (options->directory.empty()) {
      std::perror("watch-queues: cannot make a directory in /dev/shm or /tmp");
      return 1;
    }
  } else if (options->directory.empty()) {
    options->directory = "/dev/shm/seer";
  }
  if (options->mode == Options::kService) return RunService(options->directory);

  const Signals signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH});
  signal(SIGPIPE, SIG_IGN);  // a write says that nobody reads any more
  std::string title = "queues in " + options->directory + ", Ctrl-C ends";
  std::optional<ServiceProcess> service;
  if (options->mode == Options::kBoth) {
    service.emplace(argv[0], options->directory);
    if (service->pid() < 0) {
      std::perror("watch-queues: fork");
      return 1;
    }
    title += "; kill -9 " + std::to_string(service->pid()) + " and see";
  }
  seer::ReaderOptions reader_options;
  reader_options.directory = options->directory;
  absl::StatusOr<std::unique_ptr<seer::Reader>> reader = seer::Reader::Open(reader_options);
  if (!reader.ok()) {
    std::fprintf(stderr, "watch-queues: %s\n", reader.status().ToString().c_str());
    return 1;
  }
  View view;
  const bool seen = Watch(**reader, *options, signals, title, &view);
  if (service) service->End();
  view.Update(**reader, (*reader)->Read(), SteadyClock::now());  // its last counts
  return seen && WriteOut(view.Summary()) ? 0 : 1;
}
