// The program social-network as the tests start, watch and end it.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "examples/social_network/deployment.h"
#include "tests/examples/process.h"

namespace seer::testing {

// The program, with what it has printed so far.
class Application {
 public:
  // `before` runs in its process first; where it returns false, the exit status is kCannot.
  explicit Application(const std::vector<std::string>& arguments,
                       const std::function<bool()>& before = {}) {
    int ends[2];
    if (::pipe(ends) != 0) return;
    run_ = pid_ = ::fork();
    if (pid_ == 0) {
      if (before && !before()) ::_exit(kCannot);
      ::dup2(ends[1], STDOUT_FILENO);
      ::dup2(ends[1], STDERR_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      std::vector<std::string> command = {SEER_SOCIAL_NETWORK};
      command.insert(command.end(), arguments.begin(), arguments.end());
      Exec(command);
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  ~Application() {
    if (pid_ > 0) {
      Signal(SIGKILL);
      Wait();
    }
    ::close(from_);
  }
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  // Reads until it has printed this. False: it ended before.
  bool Prints(const std::string& text) {
    while (printed_.find(text) == std::string::npos) {
      if (!Read()) return false;
    }
    return true;
  }
  static constexpr int kCannot = 77;
  // Also after its end.
  pid_t run() const { return run_; }
  void Signal(int number) const { ::kill(pid_, number); }
  // A process that it has started, by the name of its program; -1: none.
  pid_t Child(const std::string& program) const {
    const std::string self = std::to_string(pid_);
    std::ifstream children("/proc/" + self + "/task/" + self + "/children");
    for (pid_t child; children >> child;) {
      std::string name;
      std::ifstream("/proc/" + std::to_string(child) + "/comm") >> name;
      if (name == program) return child;
    }
    return -1;
  }
  int Wait() {
    while (Read()) {
    }
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
  const std::string& printed() const { return printed_; }

 private:
  bool Read() {
    char buffer[1024];
    const ssize_t n = ::read(from_, buffer, sizeof buffer);
    if (n > 0) printed_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  pid_t pid_ = -1, run_ = -1;
  int from_ = -1;
  std::string printed_;
};

// A test of the program: in a temporary folder of its own, and nothing may be left of it.
class SocialNetworkRun : public ::testing::Test {
 protected:
  void SetUp() override {
    // Runs of others may be in the folder for temporary files.
    ::setenv("TMPDIR", temporary_.path().c_str(), 1);
    ::chmod(temporary_.path().c_str(), 0755);
    if (::access("/usr/bin/memcached", X_OK) != 0 || ::access("/usr/bin/redis-server", X_OK) != 0 ||
        !std::filesystem::exists("/usr/lib/postgresql")) {
      GTEST_SKIP() << "the stores are not installed: apt install memcached redis-server postgresql";
    }
    // Orphans come to us, so that none is missed.
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  }
  void TearDown() override {
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    ::unsetenv("TMPDIR");
  }
  // Of a run that has ended: no process, no file, no cgroup.
  void ExpectNothingIsLeft(const Application& of) const {
    EXPECT_TRUE(Eventually([] { return ::waitpid(-1, nullptr, WNOHANG) < 0; }))
        << "a process is left";
    EXPECT_EQ(temporary_.files(), 0u);
    const std::string cgroup = "seer-social-" + std::to_string(of.run());
    std::error_code none;
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/cgroup/" + cgroup));
    for (const auto& hierarchy : std::filesystem::directory_iterator("/sys/fs/cgroup", none)) {
      EXPECT_FALSE(std::filesystem::exists(hierarchy.path() / cgroup)) << hierarchy.path();
    }
  }
  const std::string& Directory() const { return temporary_.path(); }
  social::Deployment Deployed() const {
    for (const auto& entry : std::filesystem::directory_iterator(temporary_.path())) {
      return social::Deployment(entry.path().string());
    }
    return social::Deployment("");
  }

 private:
  const ScratchDirectory temporary_;
};

}  // namespace seer::testing
