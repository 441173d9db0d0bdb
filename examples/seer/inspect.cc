#include "examples/seer/args.h"
#include "seer/dataset/reader.h"

namespace seer_tool {

int RunInspect(const InspectArgs& args) {
  const auto reader = seer::DatasetReader::Open(args.dataset);
  if (!reader.ok()) return Fail(reader.status());
  std::uint64_t damaged_bytes = 0;
  for (const auto& damage : reader->damage()) damaged_bytes += damage.bytes;
  std::uint64_t damaged_blocks = 0;
  if (args.check) {
    seer::TickBlock block;
    for (std::size_t i = 0; i < reader->blocks().size(); ++i) {
      if (const auto status = reader->ReadBlock(i, &block); !status.ok()) {
        Fail(status);
        ++damaged_blocks;
      }
    }
  }
  const seer::DatasetManifest& manifest = reader->manifest();
  const int exit_code = damaged_bytes + damaged_blocks > 0 ? kDamaged : kOk;
  if (args.json) {
    JsonWriter json;
    json.Open('{').Key("format").Text(std::to_string(manifest.format_major) + "." +
                                      std::to_string(manifest.format_minor));
    json.Key("bytes").Integer(static_cast<std::int64_t>(reader->file_bytes()));
    json.Key("blocks").Integer(static_cast<std::int64_t>(reader->blocks().size()));
    json.Key("damaged_bytes").Integer(static_cast<std::int64_t>(damaged_bytes));
    if (args.check) {
      json.Key("damaged_blocks").Integer(static_cast<std::int64_t>(damaged_blocks));
    }
    json.Key("runs").Open('[');
    for (const seer::DatasetRun& run : manifest.runs) {
      json.Open('{').Key("name").Text(run.name);
      json.Key("ticks").Integer(static_cast<std::int64_t>(run.ticks));
      json.Key("period_ms").Number(static_cast<double>(run.period.ns()) / 1e6);
      if (run.ticks > 0) {
        json.Key("first_ms").Integer(run.period.EndNs(run.first) / 1'000'000);
        json.Key("last_ms").Integer(run.period.EndNs(run.last) / 1'000'000);
      }
      json.Key("complete").Bool(run.complete);
      json.Key("topologies").Integer(static_cast<std::int64_t>(run.topologies.size()));
      json.Key("source").Text(run.provenance.source).Key("licence").Text(run.provenance.licence);
      json.Key("tool").Text(run.provenance.tool).Close('}');
    }
    json.Close(']').Close('}').Print();
    return exit_code;
  }
  std::printf("%s: format %d.%d, %llu bytes, %zu blocks, %llu bytes damaged or torn\n",
              args.dataset.c_str(), manifest.format_major, manifest.format_minor,
              static_cast<unsigned long long>(reader->file_bytes()), reader->blocks().size(),
              static_cast<unsigned long long>(damaged_bytes));
  std::vector<std::vector<std::string>> rows = {
      {"run", "ticks", "period", "from", "to", "complete", "source"}};
  for (const seer::DatasetRun& run : manifest.runs) {
    rows.push_back({run.name, std::to_string(run.ticks),
                    Short(static_cast<double>(run.period.ns()) / 1e6) + " ms",
                    run.ticks == 0 ? "-" : Seconds(run.period.EndNs(run.first)),
                    run.ticks == 0 ? "-" : Seconds(run.period.EndNs(run.last)),
                    run.complete ? "yes" : "no", run.provenance.source});
  }
  PrintTable(rows);
  if (manifest.runs.empty()) std::printf("no run\n");
  return exit_code;
}

}  // namespace seer_tool
