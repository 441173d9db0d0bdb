// Programs that the tests of the examples start, watch and end.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace seer::testing {

// Removed at the end, with all that is in it.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string path = std::filesystem::temp_directory_path().string() + "/seer-examples-XXXXXX";
    const char* const made = ::mkdtemp(path.data());
    EXPECT_NE(made, nullptr) << path << ": " << std::strerror(errno);
    if (made != nullptr) path_ = path;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::size_t files() const {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      static_cast<void>(entry);
      ++files;
    }
    return files;
  }

 private:
  std::string path_;
};

// Asks until it holds, for what another process does on its own; false after 30 s.
template <typename Predicate>
bool Eventually(const Predicate& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the processor is the other's
  }
  return true;
}

// Replaces the calling process, a fresh child. Does not return.
[[noreturn]] inline void Exec(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

// A program that runs, with what it prints. Killed at the end if it is still there.
class Program {
 public:
  explicit Program(const std::vector<std::string>& command) {
    int ends[2];
    if (::pipe(ends) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      Exec(command);
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  ~Program() {
    if (pid_ > 0) {
      Signal(SIGKILL);
      Wait();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int number) const { ::kill(pid_, number); }
  // Until it has ended. Its exit status, or minus the signal that ended it.
  int Wait() {
    char buffer[1024];
    for (ssize_t n; (n = ::read(from_, buffer, sizeof buffer)) > 0;) {
      printed_.append(buffer, static_cast<std::size_t>(n));
    }
    ::close(from_);
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
  const std::string& printed() const { return printed_; }

 private:
  pid_t pid_ = -1;
  int from_ = -1;
  std::string printed_;
};

}  // namespace seer::testing
