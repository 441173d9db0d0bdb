#include "examples/seer/args.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/writer.h"
#include "seer/window/violations.h"

namespace seer_tool {

int RunLabel(const LabelArgs& args) {
  constexpr char kSource[] = "seer label";
  std::vector<std::pair<std::uint32_t, seer::DatasetEvent>> found;
  bool damaged = false;
  {
    const auto reader = seer::DatasetReader::Open(args.dataset);
    if (!reader.ok()) return Fail(reader.status());
    for (std::uint32_t run = 0; run < reader->manifest().runs.size(); ++run) {
      const auto events = reader->Events(run);
      if (!events.ok()) return Fail(events.status());
      bool labelled = false;
      for (const seer::DatasetEvent& event : *events) labelled |= event.source == kSource;
      if (labelled) continue;  // by an earlier call
      const auto topology = reader->LatestTopology(run);
      if (!topology.ok()) continue;  // a run that recorded nothing
      seer::ViolationDetector detector;
      seer::ClusterTick tick;
      for (seer::TickCursor cursor = reader->Ticks(run);;) {
        const auto more = cursor.Next(&tick);
        if (!more.ok()) {
          Fail(more.status());
          damaged = true;
          continue;
        }
        if (!*more) break;
        detector.Observe(tick, *topology);
      }
      detector.Finish();
      for (const seer::Violation& violation : detector.TakeFinished()) {
        found.emplace_back(run, seer::EventOf(violation, *topology, kSource));
      }
    }
  }
  if (!args.dry_run) {
    auto writer = seer::DatasetWriter::Append(args.dataset);
    if (!writer.ok()) return Fail(writer.status());
    for (const auto& [run, event] : found) {
      if (const auto status = writer->AddEvent(run, event); !status.ok()) return Fail(status);
    }
  }
  if (args.json) {
    JsonWriter json;
    json.Open('[');
    for (const auto& [run, event] : found) {
      json.Open('{').Key("run").Integer(run).Key("class").Text(event.request_class);
      json.Key("start_ms").Integer(event.start_ns / 1'000'000);
      json.Key("end_ms").Integer(event.end_ns / 1'000'000).Close('}');
    }
    json.Close(']').Print();
  } else {
    std::vector<std::vector<std::string>> rows = {{"class", "run", "start", "end"}};
    for (const auto& [run, event] : found) {
      rows.push_back({event.request_class, std::to_string(run), Seconds(event.start_ns),
                      Seconds(event.end_ns)});
    }
    PrintTable(rows);
  }
  return damaged ? kDamaged : kOk;
}

}  // namespace seer_tool
