// Flow: DatasetWriter -> [DatasetManifest] -> DatasetReader: what a dataset holds
//
// A dataset is one file of recorded runs. The manifest says what is in it, without reading a tick:
// the runs, where each came from, the versions of its topology, its violations and other events,
// and which part of which run is for training, validation and test.
//
//   for (const seer::DatasetRun& run : reader.manifest().runs) Show(run.name, run.ticks);
//
// Names, not ids, stand in events: they survive a new numbering.
//
// Threads: plain values. Cost: what the strings take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE

// Where a run came from.
struct Provenance {
  std::string source;   // file, URL, cluster or program
  std::string licence;  // SPDX where there is one; empty: not known
  std::string tool;     // what wrote it, e.g. "seer import --from rpc-csv"
  std::string note;

  friend bool operator==(const Provenance& a, const Provenance& b) {
    return a.source == b.source && a.licence == b.licence && a.tool == b.tool && a.note == b.note;
  }
};

enum class DatasetEventKind : std::uint8_t {
  kViolation,  // of a request class's target
  kFault,      // injected, or found by people
  kLoad,       // a surge of requests
  kGap,        // nothing was recorded
  kAction,     // somebody did something
  kOther,
};
// "violation", "fault", "load", "gap", "action", "other".
std::string_view DatasetEventKindName(DatasetEventKind kind);
std::optional<DatasetEventKind> DatasetEventKindFromName(std::string_view name);

struct LabelledViolation;  // window/violation_labeller.h

// Something that lasted from start to end: a violation as a tick-based detector reports it (start
// is the end of the first breaching tick), or what people or a simulator know (truth).
struct DatasetEvent {
  DatasetEventKind kind = DatasetEventKind::kViolation;
  std::int64_t start_ns = 0;  // unix time
  std::int64_t end_ns = 0;
  std::string request_class;  // empty: all, or none
  Initiation initiation = Initiation::kUnknown;
  std::string culprit;   // a service's name, with Initiation::kService
  float confidence = 0;  // of the culprit, 0 to 1
  std::string cause;     // a resource, "application", or words
  std::string source;    // who says so: a file, a detector

  friend bool operator==(const DatasetEvent& a, const DatasetEvent& b) {
    return a.kind == b.kind && a.start_ns == b.start_ns && a.end_ns == b.end_ns &&
           a.request_class == b.request_class && a.initiation == b.initiation &&
           a.culprit == b.culprit && a.confidence == b.confidence && a.cause == b.cause &&
           a.source == b.source;
  }
};

// What a detector found, with the names of its ids.
DatasetEvent EventOf(const Violation& violation, const Topology& topology, std::string_view source);
// What a labeller found; its source is "seer label", and what the culprit's name rests on. Under
// load `cause` says which service gave way first.
inline constexpr std::string_view kLabelSource = "seer label";
DatasetEvent EventOf(const LabelledViolation& label, const Topology& topology);

enum class SplitPart : std::uint8_t { kTrain, kValidation, kTest };
// "train", "validation", "test".
std::string_view SplitPartName(SplitPart part);

// Ticks [from, to) of a run are for one part. Ticks in no range are a gap between parts.
struct SplitRange {
  SplitPart part = SplitPart::kTrain;
  std::uint32_t run = 0;
  Tick from = 0;
  Tick to = 0;

  friend bool operator==(const SplitRange& a, const SplitRange& b) {
    return a.part == b.part && a.run == b.run && a.from == b.from && a.to == b.to;
  }
};

// One version of a run's topology. Any later one of the same run resolves the ids of an earlier.
struct TopologyVersion {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
};

struct DatasetRun {
  std::string name;
  TickPeriod period;
  Provenance provenance;
  std::uint64_t ticks = 0;
  Tick first = 0;  // with ticks > 0
  Tick last = 0;
  // False while it is recorded, and for ever where the recorder died. What is there is sound.
  bool complete = false;
  std::vector<TopologyVersion> topologies;
};

struct DatasetManifest {
  int format_major = 0;
  int format_minor = 0;
  std::vector<DatasetRun> runs;
  std::vector<SplitRange> split;  // empty: none was made
};

SEER_END_NAMESPACE
