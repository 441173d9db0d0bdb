#include "seer/act/actuator.h"

SEER_BEGIN_NAMESPACE

absl::Status Actuator::Hold(const std::string&) { return absl::OkStatus(); }
void Actuator::Release(const std::string&) {}

SEER_END_NAMESPACE
