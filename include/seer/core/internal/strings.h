// Flow: (internal) the bridge between std::string_view and absl::string_view
//
// On Debian 12 the two are different types and neither converts to the other; seer's public
// signatures use the std one (hosts must not depend on how their Abseil was built).
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

}  // namespace internal
SEER_END_NAMESPACE
