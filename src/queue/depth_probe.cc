#include "seer/queue/depth_probe.h"

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

Missing WhyMissing(const absl::Status& status) {
  if (status.ok()) return Missing::kNotMissing;
  if (absl::IsPermissionDenied(status)) return Missing::kNoPermission;
  if (absl::IsUnimplemented(status)) return Missing::kNotSupported;
  return Missing::kFailed;
}

absl::Status GuardedDepthProbe::Sample(const Topology& topology, Snapshot* snapshot) {
  const bool ask = patience_.Ask();
  if (ask && patience_.Heard(SampleWithoutThrowing(*probe_, topology, snapshot)).ok()) {
    return absl::OkStatus();
  }
  const absl::Status& status = patience_.status();
  for (const Channel channel : kAllChannels) {
    if (channels_.Has(channel)) snapshot->instances.set_missing(channel, WhyMissing(status));
  }
  if (!ask) return absl::OkStatus();
  ++errors_;
  return absl::Status(status.code(), absl::StrCat("probe ", name_, ": ", status.message()));
}

SEER_END_NAMESPACE
