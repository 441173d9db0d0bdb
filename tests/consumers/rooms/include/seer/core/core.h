#pragma once
#include <string>
std::string CoreName();
