#include "processes.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace social {
namespace {

using std::chrono::milliseconds;

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  bool change = false;
};

User Find(const std::string& name) {
  User user;
  if (name.empty() || geteuid() != 0) return user;
  const passwd* const entry = getpwnam(name.c_str());
  if (entry == nullptr) throw std::runtime_error("there is no user '" + name + "'");
  user.uid = entry->pw_uid;
  user.gid = entry->pw_gid;
  user.change = true;
  return user;
}

// In the child, between fork and exec.
[[noreturn]] void Become(const Command& command, const User& user, pid_t parent,
                         std::vector<char*> words) {
  setpgid(0, 0);
  const int log = open(command.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (log < 0 || nothing < 0) _exit(126);
  dup2(nothing, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (user.change &&
      (setgroups(0, nullptr) != 0 || setgid(user.gid) != 0 || setuid(user.uid) != 0)) {
    _exit(126);
  }
  // After setuid, which would undo it. Whoever died meanwhile did not see to us.
  prctl(PR_SET_PDEATHSIG, command.end_signal);
  if (getppid() != parent) _exit(126);
  execv(words[0], words.data());
  dprintf(STDERR_FILENO, "%s: %s\n", words[0], std::strerror(errno));
  _exit(127);
}

bool RemoveAll(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return !std::filesystem::exists(path, error);
}

}  // namespace

pid_t Start(const Command& command) {
  const User user = Find(command.user);
  std::vector<char*> words;
  for (const std::string& word : command.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error(command.name + ": " + std::strerror(errno));
  if (pid == 0) Become(command, user, parent, std::move(words));
  return pid;
}

int RunToEnd(const Command& command) {
  const pid_t pid = Start(command);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) throw std::runtime_error(command.name + ": " + std::strerror(errno));
    kill(pid, SIGKILL);  // we were interrupted
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void GiveTo(const std::string& name, const std::string& path) {
  const User user = Find(name);
  if (user.change && chown(path.c_str(), user.uid, user.gid) != 0) {
    throw std::runtime_error(path + ": " + std::strerror(errno));
  }
}

std::string TailOf(const std::string& log) {
  std::ifstream file(log);
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    lines.push_back(line);
    if (lines.size() > 3) lines.pop_front();
  }
  std::string tail;
  for (const std::string& line : lines) tail += "  " + line + "\n";
  return tail.empty() ? "  it said nothing" : tail.substr(0, tail.size() - 1);
}

Processes::~Processes() { End(running_); }

pid_t Processes::Start(const Command& command) {
  running_.push_back({command.name, social::Start(command), command.end_signal});
  return running_.back().pid;
}

void Processes::End(const std::string& name) {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].name != name) continue;
    End(std::vector<Running>{running_[i]});
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}

void Processes::EndLast() {
  End(std::vector<Running>{running_.back()});
  running_.pop_back();
}

std::optional<std::string> Processes::Ended() {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    int status;
    if (waitpid(running_[i].pid, &status, WNOHANG) != running_[i].pid) continue;
    std::string name = running_[i].name;
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    return name;
  }
  return std::nullopt;
}

void Processes::End(const std::vector<Running>& running) {
  for (auto it = running.rbegin(); it != running.rend(); ++it) kill(it->pid, it->end_signal);
  // Together at most 5 s, then by force.
  int left_ms = 5000;
  for (auto it = running.rbegin(); it != running.rend(); ++it) {
    while (waitpid(it->pid, nullptr, WNOHANG) == 0) {
      if (left_ms <= 0) kill(it->pid, SIGKILL);
      std::this_thread::sleep_for(milliseconds(10));
      left_ms -= 10;
    }
  }
}

ScratchDirectory::ScratchDirectory(const std::function<void()>& at_end) {
  path_ = std::filesystem::temp_directory_path().string() + "/seer-social-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) {
    throw std::runtime_error(path_ + ": " + std::strerror(errno));
  }
  chmod(path_.c_str(), 0711);  // stores of other users find their folders in it
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0 || (keeper_ = fork()) < 0) {
    const std::string why = std::strerror(errno);
    RemoveAll(path_);
    throw std::runtime_error("cannot start the keeper of " + path_ + ": " + why);
  }
  if (keeper_ == 0) {
    setsid();
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(number, SIG_IGN);
    close(ends[1]);
    char byte;
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
    // The others die now, or have died; they may still write for a moment.
    for (int i = 0; i < 200 && !RemoveAll(path_); ++i) {
      std::this_thread::sleep_for(milliseconds(50));
    }
    if (at_end) at_end();
    _exit(0);
  }
  close(ends[0]);
  lifeline_ = ends[1];
}

ScratchDirectory::~ScratchDirectory() {
  close(lifeline_);
  while (waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
  RemoveAll(path_);  // where somebody has ended the keeper
}

}  // namespace social
