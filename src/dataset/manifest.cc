#include "seer/dataset/manifest.h"

#include "seer/window/violation_labeller.h"

SEER_BEGIN_NAMESPACE
namespace {
constexpr DatasetEventKind kKinds[] = {DatasetEventKind::kViolation, DatasetEventKind::kFault,
                                       DatasetEventKind::kLoad,      DatasetEventKind::kGap,
                                       DatasetEventKind::kAction,    DatasetEventKind::kOther};
}  // namespace

std::string_view DatasetEventKindName(DatasetEventKind kind) {
  switch (kind) {
    case DatasetEventKind::kViolation:
      return "violation";
    case DatasetEventKind::kFault:
      return "fault";
    case DatasetEventKind::kLoad:
      return "load";
    case DatasetEventKind::kGap:
      return "gap";
    case DatasetEventKind::kAction:
      return "action";
    case DatasetEventKind::kOther:
      break;
  }
  return "other";
}

std::optional<DatasetEventKind> DatasetEventKindFromName(std::string_view name) {
  for (const DatasetEventKind kind : kKinds) {
    if (DatasetEventKindName(kind) == name) return kind;
  }
  return std::nullopt;
}

DatasetEvent EventOf(const Violation& violation, const Topology& topology,
                     std::string_view source) {
  DatasetEvent event;
  event.start_ns = violation.start_ns;
  event.end_ns = violation.end_ns;
  if (topology.Has(violation.request_class)) {
    event.request_class = topology.request_class(violation.request_class).name;
  }
  event.initiation = violation.initiation;
  if (violation.initiation == Initiation::kService && topology.Has(violation.culprit)) {
    event.culprit = topology.service(violation.culprit).name;
  }
  event.confidence = violation.confidence;
  event.source = std::string(source);
  return event;
}

DatasetEvent EventOf(const LabelledViolation& label, const Topology& topology) {
  std::string source(kLabelSource);
  if (label.basis != LabelBasis::kNone) {
    source += ": ";
    source += LabelBasisName(label.basis);
  }
  DatasetEvent event = EventOf(label.violation, topology, source);
  if (label.violation.initiation == Initiation::kLoad && !label.found.suspects.empty()) {
    const ServiceId first = label.found.suspects.front().service;
    if (topology.Has(first)) event.cause = "gave way first: " + topology.service(first).name;
  }
  return event;
}

std::string_view SplitPartName(SplitPart part) {
  switch (part) {
    case SplitPart::kTrain:
      return "train";
    case SplitPart::kValidation:
      return "validation";
    case SplitPart::kTest:
      break;
  }
  return "test";
}

SEER_END_NAMESPACE
