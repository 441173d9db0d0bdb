#pragma once
#include "seer/core/core.h"
std::string NnName();
