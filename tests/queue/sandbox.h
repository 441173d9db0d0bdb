// Where the tests of queue/ play: directories of their own and child processes.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "seer/core/internal/shared_word.h"
#include "seer/queue/reader.h"
#include "seer/queue/registry.h"

namespace seer::testing {

// How much smaller a test is where each instruction costs more.
#if defined(SEER_INTERNAL_TSAN)
inline constexpr int kSlower = 20;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr int kSlower = 5;
#else
inline constexpr int kSlower = 1;
#endif

// A fresh directory, in memory where there is such a place. Removed at the end.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    const bool in_memory = ::access("/dev/shm", W_OK | X_OK) == 0;
    std::string path = in_memory ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    path += "/seer-queue-XXXXXX";
    const char* const made = ::mkdtemp(path.data());
    EXPECT_NE(made, nullptr) << path << ": " << std::strerror(errno);
    if (made != nullptr) path_ = path;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty() && ::getpid() == owner_) std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      files.push_back(entry.path().string());
    }
    return files;
  }
  void Write(std::string_view name, std::string_view bytes) const {
    std::ofstream(*this / name, std::ios::binary | std::ios::trunc) << bytes;
  }

 private:
  std::string path_;
  const pid_t owner_ = ::getpid();
};

// Asks until it holds, for what another process or the kernel does on its own; false after 20 s.
template <typename Predicate>
bool Eventually(const Predicate& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// A child process that runs `body`, which returns "" or what went wrong (SEER_CHECK below). It ends
// without destructors and exit handlers, as after a crash.
class Child {
 public:
  template <typename Body>
  explicit Child(const Body& body) {
    int ends[2];
    if (::pipe(ends) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // where the test itself is killed
      ::close(ends[0]);
      std::string wrong;
      try {
        wrong = body();
      } catch (const std::exception& e) {
        wrong = e.what();
      }
      if (::write(ends[1], wrong.data(), wrong.size()) < 0) ::_exit(2);
      ::_exit(wrong.empty() ? 0 : 1);
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      Wait();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void Kill() const { ::kill(pid_, SIGKILL); }
  // Until it has ended; what went wrong. The second call returns "".
  std::string Wait() {
    if (pid_ < 0) return "fork: " + std::string(std::strerror(errno));
    if (pid_ == 0) return "";
    std::string wrong;
    char buffer[1024];
    for (ssize_t n; (n = ::read(from_, buffer, sizeof buffer)) > 0;) {
      wrong.append(buffer, static_cast<std::size_t>(n));
    }
    ::close(from_);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    if (WIFSIGNALED(status)) wrong += "signal " + std::to_string(WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && wrong.empty()) wrong = "failed";
    return wrong;
  }

 private:
  pid_t pid_ = -1;
  int from_ = -1;
};

#define SEER_STRING_(x) #x
#define SEER_STRING(x) SEER_STRING_(x)
// In the body of a Child.
#define SEER_CHECK(condition) \
  if (!(condition)) return std::string(__FILE__ ":" SEER_STRING(__LINE__) ": " #condition)

// EXPECT_EQ(InChild([] { SEER_CHECK(...); return std::string(); }), "");
template <typename Body>
std::string InChild(const Body& body) {
  return Child(body).Wait();
}

// Two processes say "go on" to each other. Make it before the fork; each side then uses its own.
class Gate {
 public:
  Gate() { EXPECT_EQ(::pipe(ends_), 0); }
  ~Gate() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void Open() const {
    const char byte = 1;
    while (::write(ends_[1], &byte, 1) < 0 && errno == EINTR) {
    }
  }
  void Pass() const {
    char byte;
    while (::read(ends_[0], &byte, 1) < 0 && errno == EINTR) {
    }
  }

 private:
  int ends_[2] = {-1, -1};
};

// ---- Short ways to the values of queue/.

inline RegistryOptions InDirectory(const std::string& directory) {
  RegistryOptions options;
  options.directory = directory;
  options.instance = "test-1";
  return options;
}
inline RegistryOptions Anonymous() { return InDirectory(""); }

inline std::unique_ptr<QueueRegistry> MakeRegistry(const RegistryOptions& options) {
  auto registry = QueueRegistry::Create(options);
  EXPECT_TRUE(registry.ok()) << registry.status();
  return registry.ok() ? *std::move(registry) : nullptr;
}

inline std::unique_ptr<Reader> MakeReader(const std::string& directory) {
  ReaderOptions options;
  options.directory = directory;
  auto reader = Reader::Open(options);
  EXPECT_TRUE(reader.ok()) << reader.status();
  return reader.ok() ? *std::move(reader) : nullptr;
}

inline std::unique_ptr<Reader> ReaderOf(const QueueRegistry& registry) {
  std::unique_ptr<Reader> reader = MakeReader("");
  const absl::Status added = reader->Add(registry);
  EXPECT_TRUE(added.ok()) << added;
  return reader;
}

// A new reading of the queue of this name, from any service and process; all zeros and `counted`
// false if there is none or more than one.
inline QueueReading ReadQueue(Reader& reader, std::string_view name) {
  const NodeReading& now = reader.Read();
  QueueReading found;
  int times = 0;
  for (std::size_t i = 0; i < now.queues.size(); ++i) {
    if (reader.queues()[i].name != name) continue;
    found = now.queues[i];
    ++times;
  }
  EXPECT_EQ(times, 1) << "queues named " << name;
  return found;
}

inline std::size_t CountQueues(const Reader& reader, std::string_view name) {
  std::size_t times = 0;
  for (const QueueInfo& info : reader.queues()) times += info.name == name;
  return times;
}

}  // namespace seer::testing
