#include "all_seer_headers.h"

const void* ChannelsOfTwo() { return seer::kAllChannels; }
seer::ChannelMask MaskOfTwo() { return seer::ChannelMask::KernelOnly(); }
