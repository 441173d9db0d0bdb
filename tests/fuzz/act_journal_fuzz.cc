// Any bytes as an executor's journal. What is read survives being written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "act/journal.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace seer::internal;  // NOLINT
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const JournalContents contents = ParseJournal(bytes);
  std::string again;
  for (const JournalEntry& entry : contents.open) again += FormatBegin(entry);
  const JournalContents second = ParseJournal(again);
  Require(second.damaged == 0 && second.open.size() == contents.open.size());
  for (std::size_t i = 0; i < second.open.size(); ++i) {
    Require(second.open[i].actuator == contents.open[i].actuator);
    Require(second.open[i].recommendation == contents.open[i].recommendation);
    Require(second.open[i].changes == contents.open[i].changes);
  }
  return 0;
}
