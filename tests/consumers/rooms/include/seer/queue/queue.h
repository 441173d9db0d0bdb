#pragma once
#include "seer/core/core.h"
inline std::string QueueName() { return CoreName() + " queue"; }
