// memcached over its text protocol.
#include <cstdlib>
#include <sstream>

#include "stores.h"
#include "traced_call.h"

namespace social {

Cache::Cache(const Use& use)
    : pool_(Connecting(use)), get_(use.Method("get")), set_(use.Method("set")) {}

std::map<std::string, std::string> Cache::Get(const std::vector<std::string>& keys) {
  std::map<std::string, std::string> found;
  if (keys.empty()) return found;
  std::string request = "get";
  for (const std::string& key : keys) request += " " + key;
  return TracedCall(get_, [&] {
    return pool_.With([&](TcpStream& stream) {
      stream.Write(request + "\r\n");
      for (std::string line = stream.ReadLine(); line != "END"; line = stream.ReadLine()) {
        std::istringstream words(line);  // VALUE <key> <flags> <bytes>
        std::string value, key, flags;
        std::size_t bytes = 0;
        if (!(words >> value >> key >> flags >> bytes) || value != "VALUE") stream.Fail(line);
        found[key] = stream.ReadBytes(bytes);
        stream.ReadBytes(2);
      }
      return found;
    });
  });
}

std::optional<std::string> Cache::Get(const std::string& key) {
  std::map<std::string, std::string> found = Get(std::vector<std::string>{key});
  if (found.empty()) return std::nullopt;
  return std::move(found.begin()->second);
}

void Cache::Set(const std::string& key, std::string_view value) {
  const std::string request =
      "set " + key + " 0 0 " + std::to_string(value.size()) + "\r\n" + std::string(value) + "\r\n";
  TracedCall(set_, [&] {
    return pool_.With([&](TcpStream& stream) {
      stream.Write(request);
      std::string answer = stream.ReadLine();
      if (answer != "STORED") stream.Fail(answer);
      return answer;
    });
  });
}

}  // namespace social
