#include "benchmarks/evaluation/trace.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/features.h"
#include "benchmarks/evaluation/replay.h"
#include "benchmarks/evaluation/simulate.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::string_view kMagic = "seer-trace-1\n";

template <typename Value>
void Put(const std::vector<Value>& values, std::string* bytes) {
  const std::uint64_t count = values.size();
  bytes->append(reinterpret_cast<const char*>(&count), sizeof count);
  if (count > 0) {
    bytes->append(reinterpret_cast<const char*>(values.data()), count * sizeof(Value));
  }
}
void Put(const std::vector<std::string>& texts, std::string* bytes) {
  std::vector<char> joined;  // each with a 0 behind it
  for (const std::string& text : texts) {
    for (const char c : text) joined.push_back(c);
    joined.push_back('\0');
  }
  Put(joined, bytes);
}

template <typename Value>
bool Take(std::string_view* bytes, std::vector<Value>* values) {
  std::uint64_t count = 0;
  if (bytes->size() < sizeof count) return false;
  std::memcpy(&count, bytes->data(), sizeof count);
  bytes->remove_prefix(sizeof count);
  if (count > bytes->size() / sizeof(Value)) return false;
  values->resize(count);
  if (count > 0) std::memcpy(values->data(), bytes->data(), count * sizeof(Value));
  bytes->remove_prefix(count * sizeof(Value));
  return true;
}
bool Take(std::string_view* bytes, std::vector<std::string>* texts) {
  std::vector<char> joined;
  if (!Take(bytes, &joined)) return false;
  texts->clear();
  std::string text;
  for (const char c : joined) {
    if (c != '\0') {
      text += c;
      continue;
    }
    texts->push_back(std::exchange(text, {}));
  }
  return text.empty();
}

}  // namespace

void Trace::Observe(const Forecast& forecast, std::int64_t horizon_ms, const Topology& topology) {
  if (times_ms_.empty()) {
    for (const RequestClass& row : topology.classes()) classes_.push_back(ClassLabel(row));
    culprits_ = {"", std::string(kLoad)};
    for (const Service& row : topology.services()) culprits_.push_back(row.name);
  }
  times_ms_.push_back(forecast.period.EndNs(forecast.tick) / kNsPerMs);
  p_.resize(p_.size() + classes_.size(), std::numeric_limits<float>::quiet_NaN());
  blame_.resize(p_.size(), 0);
  const std::size_t first = p_.size() - classes_.size();
  for (const ClassForecast& row : forecast.classes) {
    const std::size_t at = first + row.request_class.index();
    p_[at] = ProbabilityWithin(row, horizon_ms * kNsPerMs);
    std::uint16_t blame = 0;
    if (!row.initiators.empty()) {
      const Initiator& most = row.initiators.front();
      blame = most.is_load() ? 1 : static_cast<std::uint16_t>(2 + most.service.value());
    }
    if (row.alarm) blame = static_cast<std::uint16_t>(blame | kAlarm);
    blame_[at] = blame;
  }
}

void Trace::Add(std::int64_t time_ms, absl::Span<const Cell> cells) {
  times_ms_.push_back(time_ms);
  for (const Cell& cell : cells) {
    p_.push_back(cell.known ? cell.p : std::numeric_limits<float>::quiet_NaN());
    blame_.push_back(static_cast<std::uint16_t>(cell.culprit | (cell.alarm ? kAlarm : 0)));
  }
}

Trace::Cell Trace::at(std::size_t tick, std::size_t request_class) const {
  const std::size_t i = tick * classes_.size() + request_class;
  Cell cell;
  cell.p = p_[i];
  cell.known = !std::isnan(p_[i]);
  cell.alarm = (blame_[i] & kAlarm) != 0;
  cell.culprit = blame_[i] & static_cast<std::uint16_t>(kAlarm - 1);
  return cell;
}

std::vector<ClassLines> Trace::Lines() const {
  const std::size_t count = classes_.size();
  std::vector<ClassLines> lines(count);
  for (std::size_t c = 0; c < count; ++c) {
    ClassLines& own = lines[c];
    own.request_class = classes_[c];
    own.times_ms.reserve(ticks());
    own.p.reserve(ticks());
    own.alarms.reserve(ticks());
    own.culprits.reserve(ticks());
    for (std::size_t t = 0; t < ticks(); ++t) {
      const std::size_t i = t * count + c;
      if (std::isnan(p_[i])) continue;
      own.times_ms.push_back(times_ms_[t]);
      own.p.push_back(p_[i]);
      own.alarms.push_back((blame_[i] & kAlarm) != 0 ? 1 : 0);
      own.culprits.push_back(blame_[i] & static_cast<std::uint16_t>(kAlarm - 1));
    }
  }
  return lines;
}

void Trace::AddTo(std::string_view run, std::int64_t horizon_ms, Recording* recording) const {
  std::vector<std::uint32_t> classes, culprits;
  for (const std::string& name : classes_) classes.push_back(recording->names.Intern(name));
  for (const std::string& name : culprits_) culprits.push_back(recording->names.Intern(name));
  Run& out = recording->Of(run);
  out.forecasts.reserve(out.forecasts.size() + p_.size());
  for (std::size_t t = 0; t < ticks(); ++t) {
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      const Cell cell = at(t, c);
      if (!cell.known) continue;
      ForecastRow row;
      row.time_ms = times_ms_[t];
      row.horizon_ms = static_cast<std::int32_t>(horizon_ms);
      row.request_class = classes[c];
      row.culprit = culprits[cell.culprit];
      row.p_violation = cell.p;
      row.alarm = cell.alarm;
      out.forecasts.push_back(row);
    }
  }
}

absl::Status Trace::Save(const std::string& path) const {
  std::string bytes(kMagic);
  Put(classes_, &bytes);
  Put(culprits_, &bytes);
  Put(times_ms_, &bytes);
  Put(p_, &bytes);
  Put(blame_, &bytes);
  const std::string temporary = path + ".tmp";
  if (absl::Status status = WriteFile(temporary, bytes); !status.ok()) return status;
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) return absl::UnavailableError(path + ": " + error.message());
  return absl::OkStatus();
}

absl::StatusOr<Trace> Trace::Load(const std::string& path) {
  auto bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  std::string_view rest = *bytes;
  Trace trace;
  bool good = rest.substr(0, kMagic.size()) == kMagic;
  if (good) rest.remove_prefix(kMagic.size());
  good = good && Take(&rest, &trace.classes_) && Take(&rest, &trace.culprits_) &&
         Take(&rest, &trace.times_ms_) && Take(&rest, &trace.p_) && Take(&rest, &trace.blame_) &&
         rest.empty() && trace.p_.size() == trace.times_ms_.size() * trace.classes_.size() &&
         trace.blame_.size() == trace.p_.size();
  for (const std::uint16_t blame : trace.blame_) {
    good = good && (blame & static_cast<std::uint16_t>(kAlarm - 1)) < trace.culprits_.size();
  }
  if (!good) return absl::DataLossError(path + ": not a whole trace; remove it");
  return trace;
}

absl::StatusOr<std::vector<Trace>> TraceRun(
    const std::string& ticks, absl::Span<const std::int64_t> horizons_ms,
    absl::Span<const std::unique_ptr<TickPredictor>> predictors) {
  const auto features = std::make_shared<SharedFeatures>();
  for (const auto& predictor : predictors) {
    predictor->Reset();
    if (auto* const user = dynamic_cast<FeatureUser*>(predictor.get())) user->Share(features);
  }
  std::vector<Trace> traces(predictors.size());
  std::vector<Forecast> forecasts(predictors.size());
  const absl::Status status =
      ForEachTick(ticks, [&](const ClusterTick& tick, const Topology& topology) {
        for (std::size_t i = 0; i < predictors.size(); ++i) {
          absl::Status observed = predictors[i]->Observe(tick, topology, &forecasts[i]);
          if (!observed.ok()) return observed;
          traces[i].Observe(forecasts[i], horizons_ms[i], topology);
        }
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return traces;
}

}  // namespace seer::evaluation
