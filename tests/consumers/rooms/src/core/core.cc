#include "seer/core/core.h"

#include "absl/strings/str_cat.h"

std::string CoreName() { return absl::StrCat("co", "re"); }
