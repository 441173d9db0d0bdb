// Any records as a dataset: their checksums hold, as somebody who writes such a file would see to;
// what they say need not.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "dataset/record.h"
#include "seer/dataset/reader.h"

namespace {

// Takes numbers off the front; 0 when there are no more.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size)
      : left_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return left_.empty(); }
  std::uint64_t Number(std::size_t bytes) {
    std::uint64_t number = 0;
    const std::string_view taken = Take(bytes);
    if (!taken.empty()) std::memcpy(&number, taken.data(), taken.size());
    return number;
  }
  std::string_view Take(std::size_t bytes) {
    const std::string_view taken = left_.substr(0, bytes);
    left_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view left_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > (1u << 16)) return 0;
  using seer::internal::RecordHeader;
  using seer::internal::RecordKind;
  static const std::string path =
      (access("/dev/shm", W_OK) == 0 ? "/dev/shm/seer-fuzz-reader-" : "/tmp/seer-fuzz-reader-") +
      std::to_string(getpid());
  seer::internal::FieldWriter version;
  version.Number(seer::internal::kDatasetMajor);
  version.Number(seer::internal::kDatasetMinor);
  std::string file = seer::internal::MakeRecord(RecordHeader(), version.bytes());
  for (Bytes bytes(data, size); !bytes.empty();) {
    RecordHeader header;
    header.kind = static_cast<RecordKind>(bytes.Number(1));
    header.run = static_cast<std::uint32_t>(bytes.Number(1));
    header.ticks = static_cast<std::uint32_t>(bytes.Number(2));
    header.first = static_cast<std::int64_t>(bytes.Number(8));
    header.last = static_cast<std::int64_t>(bytes.Number(8));
    header.offset = file.size();
    file += seer::internal::MakeRecord(header, bytes.Take(bytes.Number(2)));
  }
  std::ofstream(path, std::ios::binary) << file;
  const auto reader = seer::DatasetReader::Open(path);
  std::remove(path.c_str());
  if (!reader.ok()) return 0;
  seer::ClusterTick tick;
  for (std::uint32_t run = 0; run < reader->manifest().runs.size(); ++run) {
    reader->LatestTopology(run).status().IgnoreError();
    reader->TopologyAt(run, 1).status().IgnoreError();
    reader->Events(run).status().IgnoreError();
    seer::TickCursor cursor = reader->Ticks(run);
    for (std::size_t blocks = 0; blocks <= reader->blocks().size();) {
      const auto more = cursor.Next(&tick);
      if (!more.ok()) ++blocks;
      if (more.ok() && !*more) break;
    }
  }
  return 0;
}
