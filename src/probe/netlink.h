// Netlink messages as bytes: written for requests, and read from answers that may be anything.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/probe/internal/netlink_socket.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The value at the front of the bytes; what they are too short for stays zero, as older kernels
// send shorter structs. No alignment is asked for.
template <typename T>
T LoadFront(absl::Span<const char> bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value = {};
  std::memcpy(static_cast<void*>(&value), bytes.data(),
              bytes.size() < sizeof(T) ? bytes.size() : sizeof(T));
  return value;
}

template <typename T>
void Append(const T& value, std::vector<char>* bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  // Not insert(): g++ 12 warns of its inner workings here, wrongly.
  const std::size_t at = bytes->size();
  bytes->resize(at + sizeof(T));
  std::memcpy(bytes->data() + at, &value, sizeof(T));
}

// The attributes at the end of a message.
class NetlinkAttributes {
 public:
  explicit NetlinkAttributes(absl::Span<const char> bytes) : rest_(bytes) {}

  // Ends at the first attribute that does not fit.
  bool Next(std::uint16_t* type, absl::Span<const char>* payload) {
    if (rest_.size() < sizeof(nlattr)) return false;
    const auto header = LoadFront<nlattr>(rest_);
    if (header.nla_len < sizeof(nlattr) || header.nla_len > rest_.size()) return false;
    *type = header.nla_type & NLA_TYPE_MASK;
    *payload = rest_.subspan(sizeof(nlattr), header.nla_len - sizeof(nlattr));
    const std::size_t aligned = NLA_ALIGN(static_cast<std::size_t>(header.nla_len));
    rest_.remove_prefix(aligned < rest_.size() ? aligned : rest_.size());
    return true;
  }

 private:
  absl::Span<const char> rest_;
};

struct DatagramResult {
  enum class End : std::uint8_t {
    kMore,       // further datagrams follow
    kDone,       // the dump is complete
    kError,      // the kernel refused or gave up: see error
    kMalformed,  // the bytes are no netlink messages
  };
  End end = End::kMore;
  int error = 0;             // an errno
  bool interrupted = false;  // the table changed meanwhile: some of it may be missing or twice
  std::size_t messages = 0;  // handed to the sink
};

// Hands each message that answers request `sequence` to the sink.
DatagramResult ParseDatagram(absl::Span<const char> datagram, std::uint32_t sequence,
                             DumpSink* sink);

}  // namespace internal
SEER_END_NAMESPACE
