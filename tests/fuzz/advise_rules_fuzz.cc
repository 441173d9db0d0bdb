// Any text as a table of rules. What is read is written and read again as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "seer/advise/rules.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::StatusOr<seer::RuleTable> table =
      seer::ParseRules({reinterpret_cast<const char*>(data), size});
  if (!table.ok()) return 0;
  const std::string once = seer::FormatRules(*table);
  const absl::StatusOr<seer::RuleTable> again = seer::ParseRules(once);
  if (!again.ok() || seer::FormatRules(*again) != once) std::abort();
  return 0;
}
