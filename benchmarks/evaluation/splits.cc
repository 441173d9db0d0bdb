#include "benchmarks/evaluation/splits.h"

#include <map>

#include "benchmarks/evaluation/csv.h"

namespace seer::evaluation {

absl::Status CheckSplits(absl::Span<const SplitRow> rows) {
  std::vector<std::string> wrong;
  std::map<std::pair<std::string, std::string>, const SplitRow*> seen;
  std::map<std::string, const SplitRow*> runs;
  for (const SplitRow& row : rows) {
    if (row.set.empty() || row.run.empty()) {
      wrong.push_back("run '" + row.run + "' of set '" + row.set + "': a name is empty");
    }
    const auto [run, first] = runs.emplace(row.run, &row);
    if (!first) {
      wrong.push_back("run '" + row.run + "' is in '" + run->second->set + "' and in '" + row.set +
                      "'");
    }
    bool same_traits = row.traits.size() == rows[0].traits.size();
    for (std::size_t i = 0; same_traits && i < row.traits.size(); ++i) {
      same_traits = row.traits[i].first == rows[0].traits[i].first;
    }
    if (!same_traits)
      wrong.push_back("run '" + row.run + "': its traits are not those of the first");
    for (const auto& trait : row.traits) {
      if (trait.second.empty()) {
        wrong.push_back("run '" + row.run + "': its " + trait.first + " is not known");
        continue;
      }
      const auto [other, is_new] = seen.emplace(trait, &row);
      if (!is_new && other->second->set != row.set) {
        wrong.push_back(trait.first + " '" + trait.second + "' is in '" + other->second->set +
                        "' (run '" + other->second->run + "') and in '" + row.set + "' (run '" +
                        row.run + "')");
      }
    }
  }
  if (wrong.empty()) return absl::OkStatus();
  std::string message = "splits: ";
  for (std::size_t i = 0; i < wrong.size() && i < 10; ++i)
    message += (i == 0 ? "" : "; ") + wrong[i];
  if (wrong.size() > 10) message += "; and " + std::to_string(wrong.size() - 10) + " more";
  return absl::FailedPreconditionError(message);
}

absl::Status CheckSplitsCsv(std::string_view file, std::string_view csv) {
  auto reader = CsvReader::Open(file, csv);
  if (!reader.ok()) return reader.status();
  std::size_t required[4];
  constexpr std::string_view kRequired[4] = {"set", "run", "placement", "seed"};
  for (std::size_t i = 0; i < 4; ++i) {
    auto column = reader->Require(kRequired[i]);
    if (!column.ok()) return column.status();
    required[i] = *column;
  }
  std::vector<SplitRow> rows;
  while (true) {
    auto more = reader->Next();
    if (!more.ok()) return more.status();
    if (!*more) break;
    SplitRow row;
    row.set = reader->field(required[0]);
    row.run = reader->field(required[1]);
    for (std::size_t i = 0; i < reader->header().size(); ++i) {
      if (i == required[0] || i == required[1]) continue;
      row.traits.emplace_back(reader->header()[i], reader->field(i));
    }
    rows.push_back(std::move(row));
  }
  return CheckSplits(rows);
}

}  // namespace seer::evaluation
