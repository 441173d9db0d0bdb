// What the commands of the tool share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "seer/dataset/manifest.h"

namespace seer_tool {

// Exit codes, also in `seer --help`.
inline constexpr int kOk = 0;
inline constexpr int kBadInput = 1;  // the data or the system said no
inline constexpr int kUsage = 2;     // the command line makes no sense
inline constexpr int kDamaged = 3;   // done, but a part of the dataset is damaged

// "seer: ..." on stderr; kBadInput.
int Fail(const absl::Status& status);

// One JSON value, written piece by piece; commas and quotes come by themselves.
class JsonWriter {
 public:
  JsonWriter& Open(char bracket);  // { or [
  JsonWriter& Close(char bracket);
  JsonWriter& Key(std::string_view key);
  JsonWriter& Text(std::string_view text);
  JsonWriter& Number(double number);
  JsonWriter& Integer(std::int64_t number);
  JsonWriter& Bool(bool value);
  void Print() const { std::printf("%s\n", text_.c_str()); }

 private:
  void Comma();
  std::string text_;
  bool first_ = true;
};

// Columns as wide as they need be; numbers (all but the first column) to the right.
void PrintTable(const std::vector<std::vector<std::string>>& rows);
std::string Short(double number);  // at most four digits that matter
std::string Seconds(std::int64_t ns);
std::string CsvField(std::string_view text);  // quoted where it has to be
// The keys of one event, into an object that is open.
void PutEvent(const seer::DatasetEvent& event, JsonWriter* json);
absl::Status NoSuchRun(std::int64_t run);

struct ImportArgs {
  std::string from, output, name, application, request_class, licence;
  std::vector<std::string> inputs;
  double target_ms = 100, over_percent = 1, window_ms = 1000, tick_ms = 100, calm_ms = 1000;
  std::uint32_t min_over = 1;
  bool append = false, label = false, json = false, quiet = false;
};
int RunImport(const ImportArgs& args);

struct LabelArgs {
  std::string dataset, from, ticks;
  std::vector<std::string> traces;
  std::vector<double> horizons_ms = {100, 300, 1000};
  double calm_ms = 1000;
  std::int64_t run = -1;  // all
  bool dry_run = false, json = false;
};
int RunLabel(const LabelArgs& args);

struct StatsArgs {
  std::string dataset, svg;
  std::string of = "outstanding";  // or a channel
  std::uint32_t run = 0;
  bool json = false;
};
int RunStats(const StatsArgs& args);

struct InspectArgs {
  std::string dataset;
  bool check = false, json = false;
};
int RunInspect(const InspectArgs& args);

struct ExportArgs {
  std::string dataset, output;
  std::uint32_t run = 0;
  bool json = false;
};
int RunExport(const ExportArgs& args);

}  // namespace seer_tool
