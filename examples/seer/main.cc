// The command-line tool `seer`: recordings into datasets, and a look into them.
#include <CLI/CLI.hpp>

#include "examples/seer/args.h"
#include "examples/seer/eval_command.h"
#include "examples/seer/forecast_command.h"
#include "examples/seer/model_commands.h"
#include "seer/core/version.h"

namespace {

constexpr char kExamples[] =
    "examples:\n"
    "  seer import --from jaeger-json traces.json.gz -o friday.seerdata\n"
    "  seer import --from rpc-csv calls.csv --class all --target-ms 90 --over-percent 2 --label\n"
    "      -o friday.seerdata\n"
    "  seer import --from csv folder/ --append -o friday.seerdata\n"
    "  seer inspect --check friday.seerdata\n"
    "  seer label friday.seerdata --from jaeger-json --traces traces.json.gz\n"
    "  seer label tables.seerdata --horizons-ms 100,300 --ticks labels.csv\n"
    "  seer stats friday.seerdata --svg depths.svg\n"
    "  seer export friday.seerdata --run 0 -o folder/\n"
    "  seer train friday.seerdata --validation saturday.seerdata -o shop.model\n"
    "  seer eval shop.model sunday.seerdata\n"
    "  seer forecast self-depth-z friday.seerdata\n"
    "exit codes: 0 done, 1 the input or the system said no, 2 the command line makes no sense,\n"
    "3 done, but a part of the dataset is damaged";

}  // namespace

int main(int argc, char** argv) {
  using namespace seer_tool;
  CLI::App app{"Recorded queue depths of microservices: import, label, look, export.", "seer"};
  app.footer(kExamples);
  app.set_version_flag("--version", std::to_string(SEER_VERSION_MAJOR) + "." +
                                        std::to_string(SEER_VERSION_MINOR) + "." +
                                        std::to_string(SEER_VERSION_PATCH));
  app.require_subcommand(1);

  ImportArgs import_args;
  CLI::App* import =
      app.add_subcommand("import", "makes a dataset of what another tracer recorded");
  import->add_option("--from", import_args.from, "the format of the inputs")
      ->required()
      ->check(CLI::IsMember({"otlp-json", "jaeger-json", "zipkin-json", "rpc-csv", "csv"}));
  import->add_option("INPUT", import_args.inputs, "files (gzip too), or for csv a folder")
      ->required();
  import->add_option("-o,--output", import_args.output, "the dataset")->required();
  import->add_flag("--append", import_args.append, "adds a run to a dataset that is there");
  import->add_option("--name", import_args.name, "of the run; without it the input's name");
  import->add_option("--application", import_args.application, "of the services");
  import->add_option("--class", import_args.request_class,
                     "all requests are of this class; without it a class for each operation");
  import
      ->add_option("--target-ms", import_args.target_ms,
                   "of the classes: what a request may take, but for --over-percent of them")
      ->check(CLI::PositiveNumber);
  import
      ->add_option("--over-percent", import_args.over_percent,
                   "of the requests of --window-ms that may be slower; 1: the target is on p99")
      ->check(CLI::Range(0.0, 99.9));
  import->add_option("--window-ms", import_args.window_ms)->check(CLI::Range(10, 3'600'000));
  import
      ->add_option("--min-over", import_args.min_over,
                   "so many slow requests at least; for low rates")
      ->check(CLI::PositiveNumber);
  import->add_option("--tick-ms", import_args.tick_ms, "10 to 5000")->check(CLI::Range(10, 5000));
  import->add_option("--licence", import_args.licence, "of the recording");
  import->add_flag("--label", import_args.label,
                   "also finds violations, and by the traces who initiated each");
  import
      ->add_option("--calm-ms", import_args.calm_ms,
                   "with --label: violations that are less apart are one")
      ->check(CLI::Range(0, 600'000));
  import->add_flag("--json", import_args.json, "the report as JSON");
  import->add_flag("--quiet", import_args.quiet, "no progress bar");
  import->footer(kExamples);

  LabelArgs label_args;
  CLI::App* label =
      app.add_subcommand("label", "finds violations and who initiated each, and writes them down");
  label->add_option("DATASET", label_args.dataset)->required();
  label->add_option("--run", label_args.run, "without it all")->check(CLI::NonNegativeNumber);
  label->add_option("--traces", label_args.traces,
                    "what the run was imported from: culprits by traces, else by depths");
  label->add_option("--from", label_args.from, "the format of the traces")
      ->check(CLI::IsMember({"otlp-json", "jaeger-json", "zipkin-json", "rpc-csv"}));
  label->add_option("--calm-ms", label_args.calm_ms, "violations that are less apart are one")
      ->check(CLI::Range(0, 600'000));
  label->add_option("--horizons-ms", label_args.horizons_ms, "of --ticks; 100,300,1000")
      ->delimiter(',')
      ->check(CLI::Range(1, 600'000));
  label->add_option("--ticks", label_args.ticks,
                    "writes into this file, for each tick, whether a violation starts within each "
                    "horizon, and whose it will be");
  label->footer(
      "Runs that were labelled are left alone. What people know (violations.csv) goes\n"
      "before what is found out; \"load\" is more requests than usual, \"unknown\" is said\n"
      "where traces or depths do not tell.");
  label->add_flag("--dry-run", label_args.dry_run, "shows them and writes nothing");
  label->add_flag("--json", label_args.json);

  StatsArgs stats_args;
  CLI::App* stats = app.add_subcommand("stats", "services, rates, depths, violations of a run");
  stats->add_option("DATASET", stats_args.dataset)->required();
  stats->add_option("--run", stats_args.run);
  stats->add_option("--of", stats_args.of, "outstanding, or a channel: queued, running, ...")
      ->check(CLI::IsMember(
          {"outstanding", "nic", "accept", "socket", "queued", "running", "blocked", "send"}));
  stats->add_option("--svg", stats_args.svg, "draws the depths over time into this file");
  stats->add_flag("--json", stats_args.json);

  InspectArgs inspect_args;
  CLI::App* inspect = app.add_subcommand("inspect", "runs, blocks and damage of a dataset");
  inspect->add_option("DATASET", inspect_args.dataset)->required();
  inspect->add_flag("--check", inspect_args.check, "reads every block");
  inspect->add_flag("--json", inspect_args.json);

  ExportArgs export_args;
  CLI::App* out = app.add_subcommand("export", "writes a run as a folder of CSVs");
  out->footer(
      "depths.csv holds depths at the ticks' ends, means.csv means over the ticks; what was\n"
      "not measured is empty. Arrivals, departures and calls made have no table.");
  out->add_option("DATASET", export_args.dataset)->required();
  out->add_option("--run", export_args.run);
  out->add_option("-o,--output", export_args.output, "a folder that is not there yet")->required();
  out->add_flag("--json", export_args.json);

  ModelCommands models(app);
  const ForecastCommand forecast(app);
  const EvalCommand eval(app);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  if (const int code = models.Run(); code >= 0) return code;
  if (*inspect && IsModel(inspect_args.dataset)) {
    return RunInspectModel(inspect_args.dataset, inspect_args.json);
  }
  if (const int code = forecast.Run(); code >= 0) return code;
  if (const int code = eval.Run(); code >= 0) return code;
  if (*import) return RunImport(import_args);
  if (*label) return RunLabel(label_args);
  if (*stats) return RunStats(stats_args);
  if (*inspect) return RunInspect(inspect_args);
  return RunExport(export_args);
}
