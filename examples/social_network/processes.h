// The processes of a run, none of which outlives it: not its end, not Ctrl-C, not kill -9.
#pragma once

#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace social {

struct Command {
  std::string name;                // for messages
  std::vector<std::string> words;  // the program's path first
  std::string log;                 // the file for what it prints
  std::string user;                // who runs it, where we are root; empty: we
  int end_signal = SIGKILL;        // what ends it, and what it gets where we die
};

// Starts it, in a process group of its own (Ctrl-C is ours). Before there are threads: when the
// thread that started it ends, it is ended. Throws std::runtime_error.
pid_t Start(const Command& command);

// Runs it to its end: its exit status, or minus the signal that ended it.
int RunToEnd(const Command& command);

// Gives the file or folder to this user, where we are root and it is not empty.
void GiveTo(const std::string& user, const std::string& path);

// The last lines of what a process has printed, for messages.
std::string TailOf(const std::string& log);

class Processes {
 public:
  Processes() = default;
  ~Processes();  // ends them all, the last one first
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  pid_t Start(const Command& command);
  // Ends the one that was started last, as one that did not come up.
  void EndLast();
  // Ends the one of this name, if there is one.
  void End(const std::string& name);
  // One that has ended by itself: its name.
  std::optional<std::string> Ended();

 private:
  struct Running {
    std::string name;
    pid_t pid;
    int end_signal;
  };
  static void End(const std::vector<Running>& running);

  std::vector<Running> running_;
};

// A directory in the folder for temporary files that is gone when this process is, however it ends:
// a process that cannot be interrupted waits for that, and then calls `at_end`, too.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::function<void()>& at_end = {});
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  pid_t keeper_ = -1;
  int lifeline_ = -1;  // the keeper sees it close
};

}  // namespace social
