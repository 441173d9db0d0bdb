#include "seer/nn/nn.h"

#include <oneapi/dnnl/dnnl_types.h>

std::string NnName() { return CoreName() + (dnnl_success == 0 ? " nn" : ""); }
