// Connections that are used by one thread at a time, and again by the next.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace social {

template <typename Connection>
class Pool {
 public:
  using Make = std::function<std::unique_ptr<Connection>()>;

  explicit Pool(Make make) : make_(std::move(make)) {}

  // One that is nobody else's.
  std::unique_ptr<Connection> New() const { return make_(); }
  // Calls `use` with a connection. One that threw is not used again: nobody knows what is under way
  // on it.
  template <typename Use>
  auto With(Use use) {
    std::unique_ptr<Connection> connection = Take();
    if constexpr (std::is_void_v<decltype(use(*connection))>) {
      use(*connection);
      Give(std::move(connection));
    } else {
      auto result = use(*connection);
      Give(std::move(connection));
      return result;
    }
  }

 private:
  std::unique_ptr<Connection> Take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Connection> connection = std::move(idle_.back());
        idle_.pop_back();
        return connection;
      }
    }
    return make_();
  }
  void Give(std::unique_ptr<Connection> connection) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(connection));
  }

  const Make make_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;  // guarded by mutex_
};

}  // namespace social
