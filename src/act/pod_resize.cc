#include "seer/act/pod_resize.h"

#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

bool IsDnsLabel(const std::string& name) {
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-') return false;
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> PodResizePatch(const Recommendation& r,
                                           const PodResizeOptions& options) {
  if (!IsDnsLabel(options.container)) {
    return absl::InvalidArgumentError(
        "container: give its name in the pod, of lower-case letters, digits and '-'");
  }
  if (!options.requests && !options.limits) {
    return absl::InvalidArgumentError("requests, limits: set at least one");
  }
  if (!(std::isfinite(r.to) && r.to > 0 && r.lower <= r.to && r.to <= r.upper)) {
    return absl::OutOfRangeError("to: give a value above 0 and within the bounds");
  }
  std::string quantity;
  if (r.action == Action::kCpuLimit && r.to < 1e6) {
    double milli = std::ceil(r.to * 1000 - 1e-6);
    if (milli > r.upper * 1000 + 1e-6) milli = std::floor(r.to * 1000);
    if (milli < 1 || milli < r.lower * 1000 - 1e-6) {
      return absl::OutOfRangeError("to: no whole number of thousandths of a core is in the bounds");
    }
    quantity = absl::StrCat("\"cpu\":\"", static_cast<std::int64_t>(milli), "m\"");
  } else if (r.action == Action::kMemoryLimit && r.to < 9e15) {
    const double bytes = std::floor(r.to);
    if (bytes < 1 || bytes < r.lower) return absl::OutOfRangeError("to: give whole bytes");
    quantity = absl::StrCat("\"memory\":\"", static_cast<std::int64_t>(bytes), "\"");
  } else if (r.action == Action::kCpuLimit || r.action == Action::kMemoryLimit) {
    return absl::OutOfRangeError("to: more than any machine has");
  } else {
    return absl::UnimplementedError(absl::StrCat("action: a pod cannot be resized by ",
                                                 internal::ToAbsl(ActionName(r.action))));
  }
  std::string resources;
  if (options.requests) absl::StrAppend(&resources, "\"requests\":{", quantity, "}");
  if (options.limits) {
    absl::StrAppend(&resources, resources.empty() ? "" : ",", "\"limits\":{", quantity, "}");
  }
  return absl::StrCat("{\"spec\":{\"containers\":[{\"name\":\"", options.container,
                      "\",\"resources\":{", resources, "}}]}}");
}

absl::Status PodResizeStatus(std::string_view type, std::string_view status,
                             std::string_view reason) {
  if (status != "True") return absl::OkStatus();
  if (type == "PodResizePending" && reason == "Infeasible") {
    return absl::FailedPreconditionError("the node can never give the pod that much");
  }
  if (type == "PodResizePending") {
    return absl::UnavailableError("the node has no room for it now");
  }
  if (type == "PodResizeInProgress" && reason == "Error") {
    return absl::UnknownError("the node failed to resize the pod");
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
