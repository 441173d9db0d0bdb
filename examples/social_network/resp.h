// What redis speaks: commands and replies over a connection.
#pragma once

#include <string>
#include <vector>

#include "tcp.h"

namespace social {

using RespCommand = std::vector<std::string>;

struct RespValue {
  std::string text;              // of a string or a number; empty: there is none
  std::vector<RespValue> items;  // of an array
};

class Resp {
 public:
  explicit Resp(TcpStream& stream) : stream_(stream) {}

  // Throws StoreError, also where redis answers with an error.
  RespValue Ask(const RespCommand& command);
  // One round trip for all of them.
  std::vector<RespValue> AskAll(const std::vector<RespCommand>& commands);

 private:
  RespValue Read(int depth);

  TcpStream& stream_;
};

}  // namespace social
