#include "probe/netlink.h"

#include <cerrno>

SEER_BEGIN_NAMESPACE
namespace internal {

DatagramResult ParseDatagram(absl::Span<const char> datagram, std::uint32_t sequence,
                             DumpSink* sink) {
  using End = DatagramResult::End;
  DatagramResult result;
  while (!datagram.empty()) {  // each message takes at least its header off the front
    if (datagram.size() < sizeof(nlmsghdr)) {
      result.end = End::kMalformed;
      return result;
    }
    const auto header = LoadFront<nlmsghdr>(datagram);
    if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > datagram.size()) {
      result.end = End::kMalformed;
      return result;
    }
    const absl::Span<const char> payload =
        datagram.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
    const std::size_t aligned = NLMSG_ALIGN(static_cast<std::size_t>(header.nlmsg_len));
    datagram.remove_prefix(aligned < datagram.size() ? aligned : datagram.size());
    // What an earlier, abandoned request left behind.
    if (header.nlmsg_seq != sequence) continue;

    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) result.interrupted = true;
    switch (header.nlmsg_type) {
      case NLMSG_NOOP:
        break;
      case NLMSG_OVERRUN:
        result.end = End::kError;
        result.error = ENOBUFS;
        return result;
      case NLMSG_DONE:
      case NLMSG_ERROR: {
        // Both start with a negative errno; a dump that fails half-way says so in its NLMSG_DONE.
        const bool done = header.nlmsg_type == NLMSG_DONE;
        const auto error = LoadFront<std::int32_t>(payload);
        if ((payload.size() < sizeof(error) && !done) || error > 0 || error < -4095) {
          result.end = End::kMalformed;
        } else if (error < 0 || !done) {
          // An error of 0 is an acknowledgement, and a dump does not end with one.
          result.end = error < 0 ? End::kError : End::kMalformed;
          result.error = -error;
        } else {
          result.end = End::kDone;
        }
        return result;
      }
      default:
        sink->Take(header.nlmsg_type, payload);
        ++result.messages;
    }
  }
  return result;
}

}  // namespace internal
SEER_END_NAMESPACE
