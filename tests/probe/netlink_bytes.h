// Writes what the kernel would send.
#pragma once

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>

#include <cstdint>
#include <string>

namespace seer::testing {

template <typename T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline std::string Padded(std::string bytes) {
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}

inline std::string Attribute(std::uint16_t type, const std::string& payload) {
  nlattr header = {};
  header.nla_len = static_cast<std::uint16_t>(sizeof(header) + payload.size());
  header.nla_type = type;
  return Padded(Bytes(header) + payload);
}

inline std::string Message(std::uint16_t type, std::uint32_t sequence, const std::string& payload,
                           std::uint16_t flags = NLM_F_MULTI) {
  nlmsghdr header = {};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + payload.size());
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = sequence;
  return Padded(Bytes(header) + payload);
}

inline std::string Done(std::uint32_t sequence, std::int32_t error = 0,
                        std::uint16_t flags = NLM_F_MULTI) {
  return Message(NLMSG_DONE, sequence, Bytes(error), flags);
}

inline std::string Error(std::uint32_t sequence, int error) {
  nlmsgerr payload = {};
  payload.error = -error;
  return Message(NLMSG_ERROR, sequence, Bytes(payload), 0);
}

inline constexpr std::uint8_t kEstablished = 1;
inline constexpr std::uint8_t kCloseWait = 8;
inline constexpr std::uint8_t kListen = 10;

struct FakeSocket {
  std::uint8_t state = kEstablished;
  std::uint16_t port = 0;
  std::uint32_t rqueue = 0;
  std::uint32_t wqueue = 0;
  std::uint32_t inode = 1;
  std::string attributes;

  std::string Payload() const {
    inet_diag_msg body = {};
    body.idiag_family = 2;
    body.idiag_state = state;
    body.id.idiag_sport = htons(port);
    body.idiag_rqueue = rqueue;
    body.idiag_wqueue = wqueue;
    body.idiag_inode = inode;
    return Bytes(body) + attributes;
  }
};

}  // namespace seer::testing
