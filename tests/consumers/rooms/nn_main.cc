#include "seer/nn/nn.h"
int main() { return NnName() == "core nn" ? 0 : 1; }
