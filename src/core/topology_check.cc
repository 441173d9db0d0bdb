#include "core/topology_check.h"

#include <chrono>
#include <cmath>

#include "absl/strings/escaping.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

// A value as it may stand in a message: printable, and not longer than a line.
std::string Quoted(std::string_view value) {
  constexpr std::size_t kShown = 60;
  const bool cut = value.size() > kShown;
  return absl::StrCat("'", absl::CHexEscape(ToAbsl(value.substr(0, kShown))), cut ? "...'" : "'");
}

absl::Status CheckText(const Place& place, std::string_view value, std::size_t max_bytes) {
  if (value.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(place.Text(), ": ", Quoted(value), " has ",
                                                   value.size(), " bytes; shorten it to ",
                                                   max_bytes));
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto byte = static_cast<unsigned char>(value[i]);
    if (byte < 0x20 || byte == 0x7f) {
      return absl::InvalidArgumentError(absl::StrCat(place.Text(), ": ", Quoted(value),
                                                     " has a control character at byte ", i,
                                                     "; leave it out"));
    }
  }
  return absl::OkStatus();
}

template <typename Row>
Referrer ReferrerOf(const Row& row) {
  return row.removed ? Referrer::kTombstone : Referrer::kLive;
}

}  // namespace

std::string Place::Text() const {
  const std::string number = row == kNewRow ? "new" : absl::StrCat(row);
  return absl::StrCat(table, "[", number, "]", *field == '\0' ? "" : ".", field);
}

std::string KeyText(const Service& row) { return Quoted(row.name); }
std::string KeyText(const Node& row) { return Quoted(row.name); }
std::string KeyText(const Instance& row) {
  return absl::StrCat(Quoted(row.name), " of service ", row.service.value());
}
std::string KeyText(const Edge& row) {
  return absl::StrCat("from ", row.caller.valid() ? absl::StrCat(row.caller.value()) : "outside",
                      " to ", row.callee.value());
}
std::string KeyText(const RequestClass& row) {
  return absl::StrCat(Quoted(row.name), " of application ", Quoted(row.application));
}
std::string KeyText(const Method& row) {
  return absl::StrCat(Quoted(row.name), " of service ", row.service.value());
}

absl::Status CheckName(const Place& place, std::string_view value) {
  if (value.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place.Text(), ": is empty; give it 1 to ", Topology::kMaxNameBytes, " bytes"));
  }
  return CheckText(place, value, Topology::kMaxNameBytes);
}

absl::Status CheckOptionalName(const Place& place, std::string_view value) {
  return CheckText(place, value, Topology::kMaxNameBytes);
}

absl::Status CheckCgroup(const Place& place, std::string_view value) {
  return CheckText(place, value, Topology::kMaxCgroupBytes);
}

absl::Status CheckPids(const Place& place, absl::Span<const std::int32_t> pids) {
  if (pids.size() > Topology::kMaxPids) {
    return absl::InvalidArgumentError(absl::StrCat(place.Text(), ": has ", pids.size(),
                                                   " entries; give at most ", Topology::kMaxPids));
  }
  for (std::int32_t pid : pids) {
    if (pid > 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(place.Text(), ": ", pid, " is no process id; give positive numbers only"));
  }
  return absl::OkStatus();
}

absl::Status CheckKind(const Place& place, EdgeKind kind) {
  if (kind == EdgeKind::kSync || kind == EdgeKind::kAsync) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(place.Text(), ": ", static_cast<unsigned>(kind),
                                                 " is no EdgeKind; use kSync or kAsync"));
}

absl::Status CheckTarget(const Place& place, const QosTarget& target) {
  absl::Status status = target.Validate();
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(place.Text(), ".", status.message()));
}

absl::Status CheckRow(const Topology&, const Service& row, std::size_t number) {
  SEER_RETURN_IF_ERROR(CheckName({"services", number, "name"}, row.name));
  SEER_RETURN_IF_ERROR(CheckOptionalName({"services", number, "application"}, row.application));
  return CheckOptionalName({"services", number, "renamed_from"}, row.renamed_from);
}

absl::Status CheckRow(const Topology& t, const Instance& row, std::size_t number) {
  const Referrer referrer = ReferrerOf(row);
  SEER_RETURN_IF_ERROR(CheckName({"instances", number, "name"}, row.name));
  SEER_RETURN_IF_ERROR(
      CheckReference({"instances", number, "service"}, row.service, t.services(), referrer));
  SEER_RETURN_IF_ERROR(
      CheckOptionalReference({"instances", number, "node"}, row.node, t.nodes(), referrer));
  SEER_RETURN_IF_ERROR(CheckCgroup({"instances", number, "cgroup"}, row.cgroup));
  return CheckPids({"instances", number, "pids"}, row.pids);
}

absl::Status CheckRow(const Topology&, const Node& row, std::size_t number) {
  return CheckName({"nodes", number, "name"}, row.name);
}

absl::Status CheckRow(const Topology& t, const Edge& row, std::size_t number) {
  const Referrer referrer = ReferrerOf(row);
  SEER_RETURN_IF_ERROR(
      CheckOptionalReference({"edges", number, "caller"}, row.caller, t.services(), referrer));
  SEER_RETURN_IF_ERROR(
      CheckReference({"edges", number, "callee"}, row.callee, t.services(), referrer));
  return CheckKind({"edges", number, "kind"}, row.kind);
}

absl::Status CheckRow(const Topology& t, const RequestClass& row, std::size_t number) {
  SEER_RETURN_IF_ERROR(CheckName({"classes", number, "name"}, row.name));
  SEER_RETURN_IF_ERROR(CheckOptionalName({"classes", number, "application"}, row.application));
  SEER_RETURN_IF_ERROR(CheckOptionalReference({"classes", number, "entry"}, row.entry, t.services(),
                                              ReferrerOf(row)));
  return CheckTarget({"classes", number, "target"}, row.target);
}

absl::Status CheckRow(const Topology& t, const Method& row, std::size_t number) {
  SEER_RETURN_IF_ERROR(CheckName({"methods", number, "name"}, row.name));
  return CheckReference({"methods", number, "service"}, row.service, t.services(), ReferrerOf(row));
}

}  // namespace internal

// ---- Targets.

namespace {

constexpr std::uint32_t kMillion = 1'000'000;

// 0 to 1 in millionths; anything else, not-a-number too, becomes a value that Validate refuses.
std::uint32_t Ppm(double share) {
  if (!(share >= 0 && share < 1)) return kMillion;
  return static_cast<std::uint32_t>(std::lround(share * kMillion));
}

std::uint32_t WindowMs(std::chrono::milliseconds window) {
  constexpr std::int64_t kMax = std::numeric_limits<std::uint32_t>::max();
  const std::int64_t ms = window.count();
  return static_cast<std::uint32_t>(ms < 0 ? 0 : ms > kMax ? kMax : ms);
}

}  // namespace

QosTarget QosTarget::Percentile(double percentile, std::chrono::nanoseconds latency,
                                std::chrono::milliseconds window) {
  // 0 would allow every request to be slow, and 100 is how people write 99 % by mistake.
  const double share = percentile > 0 && percentile <= 1 ? 1 - percentile : 1;
  return AtMost(share, latency, window);
}

QosTarget QosTarget::AtMost(double share, std::chrono::nanoseconds latency,
                            std::chrono::milliseconds window) {
  QosTarget target;
  target.latency_ns = latency.count();
  target.allowed_ppm = Ppm(share);
  target.window_ms = WindowMs(window);
  return target;
}

QosTarget QosTarget::FewerThan(std::uint32_t requests, std::chrono::nanoseconds latency,
                               std::chrono::milliseconds window) {
  QosTarget target = AtMost(0, latency, window);
  target.min_over = requests;
  return target;
}

absl::Status QosTarget::Validate() const {
  constexpr std::int64_t kHourNs = 3'600'000'000'000;
  constexpr std::uint32_t kHourMs = 3'600'000;
  if (latency_ns < 1 || latency_ns > kHourNs) {
    return absl::InvalidArgumentError(
        absl::StrCat("latency_ns: ", latency_ns, " is outside 1 ns to 1 h"));
  }
  if (allowed_ppm >= kMillion) {
    return absl::InvalidArgumentError(
        absl::StrCat("allowed_ppm: ", allowed_ppm,
                     " is not below 1000000; give a percentile like 0.99, or a share like 0.01"));
  }
  if (window_ms < 10 || window_ms > kHourMs) {
    return absl::InvalidArgumentError(
        absl::StrCat("window_ms: ", window_ms, " is outside 10 ms to 1 h; 1 s suits most targets"));
  }
  if (min_over < 1) {
    return absl::InvalidArgumentError(
        "min_over: is 0; give at least 1, which leaves the share alone");
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
