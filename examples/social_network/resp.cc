#include "resp.h"

#include <cstdlib>

namespace social {
namespace {

constexpr long kMostItems = 1 << 20;
constexpr int kMostNested = 4;

void Append(const RespCommand& command, std::string* bytes) {
  *bytes += "*" + std::to_string(command.size()) + "\r\n";
  for (const std::string& word : command) {
    *bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
}

}  // namespace

RespValue Resp::Ask(const RespCommand& command) { return AskAll({command})[0]; }

std::vector<RespValue> Resp::AskAll(const std::vector<RespCommand>& commands) {
  std::string bytes;
  for (const RespCommand& command : commands) Append(command, &bytes);
  stream_.Write(bytes);
  std::vector<RespValue> replies;
  for (std::size_t i = 0; i < commands.size(); ++i) replies.push_back(Read(0));
  return replies;
}

RespValue Resp::Read(int depth) {
  const std::string line = stream_.ReadLine();
  const char kind = line.empty() ? '\0' : line[0];
  const std::string rest = line.empty() ? line : line.substr(1);
  RespValue value;
  switch (kind) {
    case '+':
    case ':':
      value.text = rest;
      return value;
    case '$': {
      const long size = std::strtol(rest.c_str(), nullptr, 10);
      if (size < 0) return value;  // there is none
      value.text = stream_.ReadBytes(static_cast<std::size_t>(size));
      stream_.ReadBytes(2);
      return value;
    }
    case '*': {
      const long items = std::strtol(rest.c_str(), nullptr, 10);
      if (items > kMostItems || depth == kMostNested) stream_.Fail("a reply that is too large");
      for (long i = 0; i < items; ++i) value.items.push_back(Read(depth + 1));
      return value;
    }
    case '-':
      stream_.Fail(rest);
    default:
      stream_.Fail("not a reply: " + line);
  }
}

}  // namespace social
