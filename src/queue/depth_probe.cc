#include "seer/queue/depth_probe.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE

namespace {

absl::Status SampleWithoutThrowing(DepthProbe& probe, const Topology& topology,
                                   Snapshot* snapshot) {
  const char* what = "something that is no std::exception";
  std::string copy;
  try {
    return probe.Sample(topology, snapshot);
  } catch (const std::exception& e) {
    copy = e.what();
    what = copy.c_str();
  } catch (...) {
  }
  return absl::UnknownError(absl::StrCat("it threw ", what));
}

Missing WhyMissing(const absl::Status& status) {
  if (absl::IsPermissionDenied(status)) return Missing::kNoPermission;
  if (absl::IsUnimplemented(status)) return Missing::kNotSupported;
  return Missing::kFailed;
}

}  // namespace

absl::Status FakeDepthProbe::Sample(const Topology& topology, Snapshot* snapshot) {
  ++asked;
  if (!status.ok()) return status;
  ChannelSample sample;
  sample.depth = depth;
  for (std::uint32_t i = 0; i < topology.instances().size(); ++i) {
    const InstanceId id(i);
    if (!topology.IsLive(id) || snapshot->instances.coverage(id).Has(channel_)) continue;
    snapshot->instances.Set(id, channel_, sample);
  }
  return absl::OkStatus();
}

GuardedDepthProbe::GuardedDepthProbe(std::unique_ptr<DepthProbe> probe)
    : probe_(std::move(probe)), name_(probe_->name()), channels_(probe_->channels()) {}

absl::Status GuardedDepthProbe::Sample(const Topology& topology, Snapshot* snapshot) {
  const bool ask = wait_ == 0 && !absl::IsUnimplemented(last_status_);
  if (ask) {
    last_status_ = SampleWithoutThrowing(*probe_, topology, snapshot);
    if (last_status_.ok()) {
      pause_ = 0;
      return absl::OkStatus();
    }
    ++errors_;
    pause_ = std::min(std::max(1u, 2 * pause_), kMaxPause);
    wait_ = pause_ - 1;
  } else if (wait_ > 0) {
    --wait_;
  }
  for (const Channel channel : kAllChannels) {
    if (channels_.Has(channel)) snapshot->instances.set_missing(channel, WhyMissing(last_status_));
  }
  if (!ask) return absl::OkStatus();
  return absl::Status(last_status_.code(),
                      absl::StrCat("probe ", name_, ": ", last_status_.message()));
}

SEER_END_NAMESPACE
