#include "benchmarks/evaluation/oracle_looks.h"

#include <map>
#include <utility>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/simulate.h"

namespace seer::evaluation {

absl::StatusOr<std::vector<OracleLook>> ReadLooks(const std::string& folder,
                                                  const std::vector<std::string>& runs,
                                                  std::int64_t horizon_ms, Recording* truth) {
  std::vector<OracleLook> looks;
  for (const std::string& name : runs) {
    const std::string path = RunFiles(folder, name).oracle;
    auto bytes = ReadFile(path);
    if (!bytes.ok()) return bytes.status();
    auto rows = ReadOracleCsv(path, *bytes);
    if (!rows.ok()) return rows.status();
    std::vector<ViolationRow>& violations = truth->Of(name).violations;
    std::map<std::pair<std::string, std::int64_t>, ViolationRow*> find;
    for (ViolationRow& v : violations) find[{v.request_class, v.start_ms}] = &v;
    std::map<const ViolationRow*, bool> foreseen;
    for (OracleRow& row : *rows) {
      OracleLook look{name, std::move(row), "", "", ""};
      if (!look.row.quiet) {
        const auto v = find.find({look.row.request_class, look.row.start_ms});
        if (v == find.end()) continue;
        look.cause = v->second->cause;
        for (const auto& [column, value] : v->second->groups) {
          if (column == "onset") look.onset = value;
          if (column == "kind") look.kind = value;
        }
        bool& seen = foreseen[v->second];
        seen = seen || (look.row.start_ms - look.row.time_ms >= 100 && look.row.Alarms(horizon_ms));
      }
      looks.push_back(std::move(look));
    }
    for (ViolationRow& v : violations) {
      const auto seen = foreseen.find(&v);
      v.groups.emplace_back("foreseeable", seen == foreseen.end() ? "not asked"
                                           : seen->second         ? "yes"
                                                                  : "no");
    }
  }
  return looks;
}

}  // namespace seer::evaluation
