// An application as a part of another file. Private to the .cc files of this folder.
#pragma once

#include "benchmarks/cluster/sim/application.h"
#include "benchmarks/cluster/sim/json_fields.h"

namespace seer::cluster {

absl::Status ReadApplication(const json::Fields& fields, Application* application);
void WriteApplication(const Application& application, json::Writer* out);

}  // namespace seer::cluster
