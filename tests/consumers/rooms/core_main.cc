#include "seer/core/core.h"
int main() { return CoreName() == "core" ? 0 : 1; }
