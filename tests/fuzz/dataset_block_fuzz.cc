// Any bytes as a block of ticks (past the checksums): an error, or ticks that can be taken out.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "seer/dataset/tick_block.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static seer::TickBlock block;
  static seer::ClusterTick tick;
  if (!block.Decode({reinterpret_cast<const char*>(data), size}).ok()) return 0;
  for (std::size_t i = 0; i < block.ticks() && i < 16; ++i) block.Get(i, &tick);
  return 0;
}
