// A terminal that shows lines in place: the other screen of the terminal, no cursor, and everything
// as it was when it is left.
#pragma once

#include <string>
#include <string_view>
#include <vector>

struct ScreenLine {
  std::string text;             // printable ASCII
  std::string_view style = "";  // "1;31": bold and red; "": as it is
};

// To standard output, all of it; false if that is gone.
bool WriteOut(std::string_view text);

class Screen {
 public:
  // Standard output is a terminal that knows more than lines.
  static bool Possible();

  Screen() { Enter(); }
  ~Screen() { Leave(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void Enter();
  void Leave();  // also twice
  // Columns of the terminal now.
  static int Columns();
  // What does not fit is cut off. False: there is no terminal any more.
  bool Show(const std::vector<ScreenLine>& lines);

 private:
  bool entered_ = false;
};
