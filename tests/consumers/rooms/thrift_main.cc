#include "seer/thrift/thrift.h"
int main() { return ThriftName() == "core queue thrift" ? 0 : 1; }
