// Files that are read whole.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "seer/core/config.h"
#include "seer/core/internal/owned_fd.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The first `most` bytes, or why there are none. Never blocks, not even on a pipe.
inline Reason ReadFront(const std::string& path, std::size_t most, std::string* text) {
  text->clear();
  const OwnedFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return ReasonOfErrno(errno);
  text->resize(most);
  std::size_t size = 0;
  while (size < most) {
    const ssize_t got = ::read(file.get(), &(*text)[size], most - size);
    if (got < 0) {
      const Reason reason = ReasonOfErrno(errno);
      text->clear();
      return reason;
    }
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text->resize(size);
  return Reason::kNone;
}

// The next line, taken off the front; false at the end.
inline bool TakeLine(std::string_view* rest, std::string_view* line) {
  if (rest->empty()) return false;
  const std::size_t end = rest->find('\n');
  *line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return true;
}

}  // namespace internal
SEER_END_NAMESPACE
