#include "screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace {

struct Size {
  int columns = 80;
  int rows = 24;
};
Size TerminalSize() {
  Size size;
  winsize found = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) == 0 && found.ws_col > 0 && found.ws_row > 0) {
    size.columns = found.ws_col;
    size.rows = found.ws_row;
  }
  return size;
}

}  // namespace

bool WriteOut(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool Screen::Possible() {
  const char* const terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && terminal != nullptr && *terminal != '\0' &&
         std::string_view(terminal) != "dumb";
}

void Screen::Enter() {
  if (entered_) return;
  entered_ = true;
  WriteOut("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");  // other screen; no cursor; no wrapping; empty
}

void Screen::Leave() {
  if (!entered_) return;
  entered_ = false;
  WriteOut("\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l");
}

int Screen::Columns() { return TerminalSize().columns; }

bool Screen::Show(const std::vector<ScreenLine>& lines) {
  const Size size = TerminalSize();
  const std::size_t rows = std::min(lines.size(), static_cast<std::size_t>(size.rows));
  std::string frame = "\x1b[H";
  for (std::size_t i = 0; i < rows; ++i) {
    const ScreenLine& line = lines[i];
    if (!line.style.empty()) frame.append("\x1b[").append(line.style).append("m");
    frame.append(line.text, 0, static_cast<std::size_t>(size.columns));
    if (!line.style.empty()) frame += "\x1b[0m";
    frame += "\x1b[K";  // the rest of the line
    if (i + 1 < rows) frame += "\r\n";
  }
  if (rows < static_cast<std::size_t>(size.rows)) frame += "\r\n\x1b[J";  // the rest of the screen
  return WriteOut(frame);
}
