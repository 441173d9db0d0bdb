// examples/watch_queues on a terminal of its own: whatever ends it, the terminal is as it was, the
// service is gone and so is its segment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/examples/process.h"

#ifdef SEER_WATCH_QUEUES
namespace seer::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kEntered[] = "\x1b[?1049h\x1b[?25l";
constexpr char kFrame[] = "\x1b[H";
constexpr char kLeft[] = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

// watch-queues on a terminal of this size.
class Terminal {
 public:
  Terminal(const std::string& directory, int columns, int rows, const char* kind = "xterm") {
    winsize size = {};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    pid_ = ::forkpty(&master_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      ::setenv("TERM", kind, 1);
      Exec({SEER_WATCH_QUEUES, "--directory", directory});
    }
  }
  ~Terminal() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      Wait();
    }
    Close();
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& shown() const { return shown_; }
  void Type(const std::string& keys) const {
    EXPECT_EQ(::write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  void Resize(int columns, int rows) const {
    winsize size = {};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    EXPECT_EQ(::ioctl(master_, TIOCSWINSZ, &size), 0);
  }
  void Close() {
    if (master_ >= 0) ::close(master_);
    master_ = -1;
  }
  // Reads what is there. Whether `text` was shown `times` times since `from`.
  bool Shows(const std::string& text, int times = 1, std::size_t from = 0) {
    Read(10);
    for (std::size_t at = from; times > 0; --times) {
      at = shown_.find(text, at);
      if (at == std::string::npos) return false;
      at += text.size();
    }
    return true;
  }
  // Until it has ended: its exit status, or minus its signal.
  int Wait() {
    while (Read(20'000)) {
    }
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  // False: nobody has the terminal open any more, or nothing came in time.
  bool Read(int ms) {
    pollfd ready = {master_, POLLIN, 0};
    if (master_ < 0 || ::poll(&ready, 1, ms) != 1) return false;
    char buffer[4096];
    const ssize_t n = ::read(master_, buffer, sizeof buffer);
    if (n > 0) shown_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  pid_t pid_ = -1;
  int master_ = -1;
  std::string shown_;
};

class WatchQueues : public ::testing::Test {
 protected:
  // Orphans come to us, so that none is missed.
  WatchQueues() { EXPECT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0); }
  ~WatchQueues() override { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }

  // The service publishes, and the view has been drawn a few times.
  bool Runs(Terminal& terminal) const {
    return Eventually([&] { return terminal.Shows(kFrame, 3) && directory_.files() == 1; });
  }
  pid_t Service() const {
    for (const auto& file : std::filesystem::directory_iterator(directory_.path())) {
      return std::stoi(file.path().filename().string().substr(std::string("queues.").size()));
    }
    return -1;
  }
  void ExpectNothingIsLeft() const {
    EXPECT_TRUE(Eventually([] { return ::waitpid(-1, nullptr, WNOHANG) < 0; }))
        << "a process is left";
    EXPECT_EQ(directory_.files(), 0u);
  }
  // What it did to the terminal it took back, as the last thing that it did to it.
  static void ExpectTerminalIsClean(const std::string& shown) {
    EXPECT_EQ(shown.compare(0, sizeof kEntered - 1, kEntered), 0);
    const std::size_t left = shown.rfind(kLeft);
    ASSERT_NE(left, std::string::npos);
    EXPECT_THAT(shown.substr(left + sizeof kLeft - 1), Not(HasSubstr("\x1b")));
  }

  ScratchDirectory directory_;
};

TEST_F(WatchQueues, LeavesTheTerminalCleanWhateverEndsIt) {
  struct Case {
    int columns, rows;
    int signal;  // 0: Ctrl-C
  };
  for (const Case& c : {Case{80, 24, 0}, Case{80, 24, SIGTERM}, Case{200, 60, SIGINT},
                        Case{20, 3, 0}, Case{1, 1, 0}, Case{1, 1, SIGTERM}}) {
    SCOPED_TRACE(std::to_string(c.columns) + "x" + std::to_string(c.rows) + ", signal " +
                 std::to_string(c.signal));
    Terminal terminal(directory_.path(), c.columns, c.rows);
    ASSERT_TRUE(Runs(terminal));
    if (c.signal == 0) {
      terminal.Type("\x03");
    } else {
      ::kill(terminal.pid(), c.signal);
    }
    EXPECT_EQ(terminal.Wait(), 0);
    ExpectTerminalIsClean(terminal.shown());
    EXPECT_THAT(terminal.shown(), HasSubstr("checkout queued: "));
    ExpectNothingIsLeft();
  }
}

TEST_F(WatchQueues, DrawsInsideTheTerminal) {
  Terminal terminal(directory_.path(), 80, 6);
  ASSERT_TRUE(Eventually([&] { return terminal.Shows("calls database"); }));
  terminal.Resize(31, 3);
  const std::size_t from = terminal.shown().size();
  ASSERT_TRUE(Eventually([&] { return terminal.Shows(kFrame, 4, from); }));
  // The last whole frame.
  const std::string& shown = terminal.shown();
  const std::size_t end = shown.rfind(kFrame);
  const std::size_t begin = shown.rfind(kFrame, end - 1);
  int columns = 0, rows = 1;
  for (std::size_t i = begin; i < end; ++i) {
    if (shown[i] == '\x1b') {
      while (i < end && (shown[i] < '@' || shown[i] > '~' || shown[i] == '[')) ++i;
    } else if (shown[i] == '\n') {
      ++rows;
    } else if (shown[i] == '\r') {
      columns = 0;
    } else {
      EXPECT_LE(++columns, 31);
    }
  }
  EXPECT_EQ(rows, 3);
  terminal.Type("\x03");
  EXPECT_EQ(terminal.Wait(), 0);
}

TEST_F(WatchQueues, ShowsTheDeathOfTheService) {
  Terminal terminal(directory_.path(), 80, 24);
  ASSERT_TRUE(Eventually([&] { return terminal.Shows(": alive"); }));
  ::kill(Service(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return terminal.Shows(": dead"); }));
  terminal.Type("\x03");
  EXPECT_EQ(terminal.Wait(), 0);
  ExpectTerminalIsClean(terminal.shown());
}

TEST_F(WatchQueues, GivesTheTerminalBackWhileItIsStopped) {
  Terminal terminal(directory_.path(), 80, 24);
  ASSERT_TRUE(Runs(terminal));
  // A terminal without a shell: its processes cannot be stopped from the keyboard.
  ::kill(terminal.pid(), SIGTSTP);
  int status = 0;
  ASSERT_EQ(::waitpid(terminal.pid(), &status, WUNTRACED), terminal.pid());
  EXPECT_TRUE(WIFSTOPPED(status));
  while (terminal.Shows("nothing of the kind")) {
  }
  EXPECT_THAT(terminal.shown(), EndsWith(kLeft));
  const std::size_t from = terminal.shown().size();
  ::kill(terminal.pid(), SIGCONT);
  EXPECT_TRUE(Eventually([&] { return terminal.Shows(kEntered, 1, from); }));
  terminal.Type("\x03");
  EXPECT_EQ(terminal.Wait(), 0);
  ExpectTerminalIsClean(terminal.shown());
  ExpectNothingIsLeft();
}

TEST_F(WatchQueues, EndsWithItsTerminal) {
  Terminal terminal(directory_.path(), 80, 24);
  ASSERT_TRUE(Runs(terminal));
  terminal.Close();
  ExpectNothingIsLeft();
}

TEST_F(WatchQueues, LeavesNoServiceBehindWhenItIsKilled) {
  Terminal terminal(directory_.path(), 80, 24);
  ASSERT_TRUE(Runs(terminal));
  ::kill(terminal.pid(), SIGKILL);
  ExpectNothingIsLeft();
}

TEST_F(WatchQueues, PrintsPlainLinesWhereThereIsNoScreen) {
  {
    Terminal terminal(directory_.path(), 80, 24, "dumb");
    ASSERT_TRUE(Eventually([&] { return terminal.Shows("checkout alive  queued "); }));
    terminal.Type("\x03");
    EXPECT_EQ(terminal.Wait(), 0);
    EXPECT_THAT(terminal.shown(), Not(HasSubstr("\x1b")));
  }
  Program piped({SEER_WATCH_QUEUES, "--seconds", "0.5", "--directory", directory_.path()});
  EXPECT_EQ(piped.Wait(), 0);
  EXPECT_THAT(piped.printed(), HasSubstr("checkout alive  queued "));
  EXPECT_THAT(piped.printed(), HasSubstr("calls database: "));
  EXPECT_THAT(piped.printed(), Not(HasSubstr("\x1b")));
  ExpectNothingIsLeft();
}

TEST_F(WatchQueues, RefusesArgumentsThatMakeNoSense) {
  for (const char* argument : {"--second", "--seconds", "--directory", "x"}) {
    SCOPED_TRACE(argument);
    EXPECT_EQ(Program({"sh", "-c", std::string(SEER_WATCH_QUEUES " ") + argument + " 2>&1"}).Wait(),
              2);
  }
}

}  // namespace
}  // namespace seer::testing
#endif  // SEER_WATCH_QUEUES
