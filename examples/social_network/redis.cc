// redis over its own protocol, RESP 2.
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "resp.h"
#include "stores.h"
#include "traced_call.h"

namespace social {
namespace {

constexpr char kQueue[] = "queue";

std::vector<std::int64_t> Numbers(const RespValue& reply) {
  std::vector<std::int64_t> numbers;
  for (const RespValue& item : reply.items) {
    numbers.push_back(std::strtoll(item.text.c_str(), nullptr, 10));
  }
  return numbers;
}

RespValue Ask(Pool<TcpStream>& pool, const RespCommand& command) {
  return pool.With([&](TcpStream& stream) { return Resp(stream).Ask(command); });
}

}  // namespace

Sets::Sets(const Use& use)
    : pool_(Connecting(use)),
      add_(use.Method("ZADD")),
      remove_(use.Method("ZREM")),
      range_(use.Method("ZRANGE")),
      intersect_(use.Method("ZINTER")) {}

void Sets::Add(const std::string& set, std::int64_t member, std::int64_t score) {
  TracedCall(add_, [&] {
    return Ask(pool_, {"ZADD", set, std::to_string(score), std::to_string(member)});
  });
}

void Sets::AddToAll(const std::vector<std::string>& sets, std::int64_t member, std::int64_t score,
                    std::size_t most) {
  const std::string last = std::to_string(-1 - static_cast<std::int64_t>(most));
  std::vector<RespCommand> commands;
  for (const std::string& set : sets) {
    commands.push_back({"ZADD", set, std::to_string(score), std::to_string(member)});
    commands.push_back({"ZREMRANGEBYRANK", set, "0", last});
  }
  TracedCall(add_, [&] {
    return pool_.With([&](TcpStream& stream) { return Resp(stream).AskAll(commands); });
  });
}

void Sets::Remove(const std::string& set, std::int64_t member) {
  TracedCall(remove_, [&] { return Ask(pool_, {"ZREM", set, std::to_string(member)}); });
}

std::vector<std::int64_t> Sets::Highest(const std::string& set, std::size_t skip,
                                        std::size_t count) {
  if (count == 0) return {};
  return Numbers(TracedCall(range_, [&] {
    return Ask(pool_, {"ZREVRANGE", set, std::to_string(skip), std::to_string(skip + count - 1)});
  }));
}

std::vector<std::int64_t> Sets::InAll(const std::vector<std::string>& sets, std::size_t count) {
  if (sets.empty()) return {};
  RespCommand command = {"ZINTER", std::to_string(sets.size())};
  command.insert(command.end(), sets.begin(), sets.end());
  command.insert(command.end(), {"AGGREGATE", "MAX"});
  std::vector<std::int64_t> lowest_first =
      Numbers(TracedCall(intersect_, [&] { return Ask(pool_, command); }));
  std::vector<std::int64_t> found(lowest_first.rbegin(), lowest_first.rend());
  if (found.size() > count) found.resize(count);
  return found;
}

WorkQueue::WorkQueue(const Use& use) : pool_(Connecting(use)), push_(use.Method("LPUSH")) {}

void WorkQueue::Push(std::string_view message) {
  TracedCall(push_, [&] { return Ask(pool_, {"LPUSH", kQueue, std::string(message)}); });
}

std::optional<std::string> WorkQueue::Pop() {
  // Not traced: to wait for work is not a call that takes long.
  RespValue reply = Ask(pool_, {"BRPOP", kQueue, "1"});
  if (reply.items.size() != 2) return std::nullopt;
  return std::move(reply.items[1].text);
}

}  // namespace social
