// Every public header in two translation units of one program: no function defined twice, and one
// object, not two, behind each constant.
#include "all_seer_headers.h"

const void* ChannelsOfTwo();
seer::ChannelMask MaskOfTwo();

int main() {
  const bool same = ChannelsOfTwo() == static_cast<const void*>(seer::kAllChannels) &&
                    MaskOfTwo() == seer::ChannelMask::KernelOnly();
  return same ? 0 : 1;
}
