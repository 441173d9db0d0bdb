// Any bytes as the input of an importer: the first byte chooses the format.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "seer/dataset/importer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > (1u << 16)) return 0;
  static const std::string folder =
      (access("/dev/shm", W_OK) == 0 ? "/dev/shm/seer-fuzz-" : "/tmp/seer-fuzz-") +
      std::to_string(getpid());
  const std::string input = folder + ".in", output = folder + ".out";
  std::ofstream(input, std::ios::binary)
      .write(reinterpret_cast<const char*>(data) + 1, static_cast<std::streamsize>(size - 1));
  seer::ImportOptions options;
  options.run.period = *seer::TickPeriod::FromNs(5'000'000'000);
  std::remove(output.c_str());
  seer::ImportToFile(static_cast<seer::ImportFormat>(data[0] % 4), {input}, output, options)
      .status()
      .IgnoreError();
  std::remove(output.c_str());
  std::remove(input.c_str());
  return 0;
}
