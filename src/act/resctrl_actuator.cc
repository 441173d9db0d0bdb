#include "seer/act/resctrl_actuator.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "act/directory.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::OpenBelow;
using internal::OwnedFd;
using internal::ReadFileText;

bool ParseUnsigned(std::string_view text, int base, std::uint64_t* number) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

int CountBits(std::uint64_t mask) {
  int bits = 0;
  for (; mask != 0; mask &= mask - 1) ++bits;
  return bits;
}

// `ways` bits that touch the present ones: upwards from their lowest, and what has no room above,
// below.
std::uint64_t MaskOf(std::uint64_t present, int ways, int all) {
  int low = 0;
  while (low < all - 1 && (present >> low & 1) == 0) ++low;
  low = std::max(0, std::min(low, all - ways));
  const std::uint64_t ones = ways >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << ways) - 1;
  return ones << low;
}

struct Domain {
  std::string id;
  std::string value;
};

// "0=ff;1=ff"
absl::StatusOr<std::vector<Domain>> ParseDomains(std::string_view text) {
  std::vector<Domain> domains;
  for (const absl::string_view piece : absl::StrSplit(internal::ToAbsl(text), ';')) {
    const std::pair<std::string, std::string> both = absl::StrSplit(piece, absl::MaxSplits('=', 1));
    if (both.first.empty() || both.second.empty()) {
      return absl::InternalError(
          absl::StrCat("schemata: '", internal::ToAbsl(text), "' is not understood"));
    }
    domains.push_back({both.first, std::string(absl::StripAsciiWhitespace(both.second))});
  }
  return domains;
}

std::string FormatDomains(const std::vector<Domain>& domains) {
  return absl::StrJoin(domains, ";", [](std::string* out, const Domain& domain) {
    absl::StrAppend(out, domain.id, "=", domain.value);
  });
}

// A knob: "<resource>|<group>".
class ResctrlActuator final : public Actuator {
 public:
  ResctrlActuator(ResctrlOptions options, OwnedFd root)
      : options_(std::move(options)), root_(std::move(root)) {}

  std::string_view name() const override { return "resctrl"; }
  bool Can(Action action) const override {
    return action == Action::kCachePartition || action == Action::kMemoryBandwidthShare;
  }

  absl::StatusOr<ActionPlan> Plan(const Recommendation& r) override {
    auto group = options_.groups.find(r.target.instance);
    if (group == options_.groups.end()) group = options_.groups.find(r.target.service);
    if (group == options_.groups.end()) {
      return absl::PermissionDeniedError(absl::StrCat("target: no group is known for '",
                                                      r.target.instance, "' of '", r.target.service,
                                                      "': list it in groups"));
    }
    const bool cache = r.action == Action::kCachePartition;
    if (!(r.to >= 1 && r.to <= (cache ? 64 : 100))) {
      return absl::OutOfRangeError(cache ? "to: give 1 to 64 ways" : "to: give 1 to 100 percent");
    }
    const std::string knob = absl::StrCat(cache ? "L3" : "MB", "|", group->second);
    SEER_ASSIGN_OR_RETURN(const std::string before, Read(knob));
    SEER_ASSIGN_OR_RETURN(std::vector<Domain> domains, ParseDomains(before));
    ActionPlan plan;
    SEER_RETURN_IF_ERROR(cache ? PlanWays(r.to, &domains, &plan)
                               : PlanBandwidth(r.to, &domains, &plan));
    std::string after = FormatDomains(domains);
    if (after != before) plan.changes.push_back({knob, before, std::move(after)});
    return plan;
  }

  absl::StatusOr<std::string> Read(const std::string& knob) override {
    SEER_ASSIGN_OR_RETURN(const auto place, Parse(knob));
    SEER_ASSIGN_OR_RETURN(const OwnedFd group, OpenBelow(root_.get(), place.second));
    SEER_ASSIGN_OR_RETURN(const std::string text, ReadFileText(group.get(), "schemata"));
    const std::string start = place.first + ":";
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const absl::string_view stripped = absl::StripAsciiWhitespace(line);
      if (stripped.substr(0, start.size()) == start) {
        return std::string(stripped.substr(start.size()));
      }
    }
    return absl::UnimplementedError(
        absl::StrCat("'", place.second, "' has no resource ", place.first, " here"));
  }

  absl::Status Write(const std::string& knob, const std::string& text) override {
    SEER_ASSIGN_OR_RETURN(const auto place, Parse(knob));
    SEER_ASSIGN_OR_RETURN(const OwnedFd group, OpenBelow(root_.get(), place.second));
    absl::Status status =
        internal::WriteFileText(group.get(), "schemata", absl::StrCat(place.first, ":", text));
    if (status.ok()) return status;
    const absl::StatusOr<std::string> why = ReadInfo("info", "last_cmd_status");
    return absl::Status(
        status.code(),
        absl::StrCat(status.message(), "; the kernel says: ", why.ok() ? *why : "nothing"));
  }

 private:
  absl::StatusOr<std::string> ReadInfo(std::string_view folder, const std::string& file) const {
    SEER_ASSIGN_OR_RETURN(const OwnedFd info, OpenBelow(root_.get(), folder));
    return ReadFileText(info.get(), file);
  }
  // What the hardware says of itself; `otherwise` where it does not.
  std::uint64_t InfoNumber(std::string_view folder, const std::string& file, int base,
                           std::uint64_t otherwise) const {
    const absl::StatusOr<std::string> text = ReadInfo(folder, file);
    std::uint64_t number = 0;
    return text.ok() && ParseUnsigned(*text, base, &number) ? number : otherwise;
  }

  absl::Status PlanWays(double to, std::vector<Domain>* domains, ActionPlan* plan) const {
    const int all = CountBits(InfoNumber("info/L3", "cbm_mask", 16, 0));
    const auto least = static_cast<int>(InfoNumber("info/L3", "min_cbm_bits", 10, 1));
    const auto ways = static_cast<int>(to);
    if (all == 0) return absl::UnimplementedError("info/L3/cbm_mask: not there");
    if (ways > all || ways < least) {
      return absl::OutOfRangeError(
          absl::StrCat("to: ", ways, " ways, but the cache takes ", least, " to ", all));
    }
    plan->from = all;
    plan->to = ways;
    for (Domain& domain : *domains) {
      std::uint64_t mask = 0;
      if (!ParseUnsigned(domain.value, 16, &mask)) {
        return absl::InternalError(
            absl::StrCat("schemata: the mask '", domain.value, "' is not understood"));
      }
      plan->from = std::min(plan->from, static_cast<double>(CountBits(mask)));
      if (CountBits(mask) == ways) continue;
      // The kernel writes masks without leading zeros, or with: as wide as this one.
      const std::size_t width = domain.value.size();
      std::string hex = absl::StrCat(absl::Hex(MaskOf(mask, ways, all)));
      const bool padded = domain.value.front() == '0';
      if (padded && hex.size() < width) hex.insert(0, width - hex.size(), '0');
      domain.value = std::move(hex);
    }
    return absl::OkStatus();
  }

  absl::Status PlanBandwidth(double to, std::vector<Domain>* domains, ActionPlan* plan) const {
    const std::uint64_t least = InfoNumber("info/MB", "min_bandwidth", 10, 1);
    const std::uint64_t step =
        std::max<std::uint64_t>(1, InfoNumber("info/MB", "bandwidth_gran", 10, 1));
    const std::uint64_t percent = static_cast<std::uint64_t>(to) / step * step;
    if (percent < least) {
      return absl::OutOfRangeError(
          absl::StrCat("to: ", percent, " percent, but the least is ", least));
    }
    plan->from = 100;
    plan->to = static_cast<double>(percent);
    for (Domain& domain : *domains) {
      std::uint64_t present = 0;
      if (!ParseUnsigned(domain.value, 10, &present) || present > 100) {
        // With the mount option mba_MBps they are not percent.
        return absl::UnimplementedError(
            absl::StrCat("schemata: '", domain.value, "' is no percentage"));
      }
      plan->from = std::min(plan->from, static_cast<double>(present));
      domain.value = absl::StrCat(percent);
    }
    return absl::OkStatus();
  }

  // Resource and group. Knobs come from a journal too: only what is granted.
  absl::StatusOr<std::pair<std::string, std::string>> Parse(const std::string& knob) const {
    std::pair<std::string, std::string> place = absl::StrSplit(knob, absl::MaxSplits('|', 1));
    const bool granted =
        std::any_of(options_.groups.begin(), options_.groups.end(),
                    [&](const auto& group) { return group.second == place.second; });
    if ((place.first != "L3" && place.first != "MB") || !granted) {
      return absl::PermissionDeniedError(absl::StrCat("knob: '", knob, "' is none of ours"));
    }
    return place;
  }

  const ResctrlOptions options_;
  const OwnedFd root_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Actuator>> MakeResctrlActuator(const ResctrlOptions& options) {
  for (const auto& [target, group] : options.groups) {
    if (target.empty() || !internal::IsCleanPath(group) || group == "info") {
      return absl::InvalidArgumentError(absl::StrCat("groups: '", target, "' -> '", group,
                                                     "': give the name of a group below the root"));
    }
  }
  SEER_ASSIGN_OR_RETURN(OwnedFd root, internal::OpenRoot(options.root));
  if (!internal::HasFile(root.get(), "schemata")) {
    return absl::NotFoundError(
        absl::StrCat("root: resctrl is not mounted at '", options.root, "'"));
  }
  return std::unique_ptr<Actuator>(std::make_unique<ResctrlActuator>(options, std::move(root)));
}

SEER_END_NAMESPACE
