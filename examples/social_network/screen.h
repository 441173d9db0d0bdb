// What happens, live: on a terminal in place, elsewhere a line for each second and event.
#pragma once

#include <cstddef>

#include "judge.h"

namespace social {

class View {
 public:
  View();
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  // Once a second.
  void Show(const Record& record);

 private:
  void ShowLines(const Record& record);
  void ShowScreen(const Record& record);

  const bool terminal_;
  std::size_t alarms_ = 0, missed_ = 0, actions_ = 0, faults_ = 0, causes_ = 0;  // told already
  std::size_t notes_ = 0;
};

}  // namespace social
