// The handler behind all servers of these tests, for each style of generated code.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "plain/Echo.h"
#include "seer/trace/context.h"
#include "templates/Echo.h"

namespace seer::testing_support {

// Holds back whoever comes, until it is opened.
class Gate {
 public:
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    opened_.wait(lock, [&] { return open_; });
    --waiting_;
  }
  void Open() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  int waiting() {
    std::lock_guard<std::mutex> lock(mutex_);
    return waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
  int waiting_ = 0;
};

template <typename If, typename Item, typename Declared>
class EchoHandlerOf final : public If {
 public:
  // Runs within every call of echo(), ping(), fire() and nested(). May throw.
  std::function<void()> within;
  std::function<std::string(const std::string&)> relay_to;
  Gate* gate = nullptr;  // what slow(-1) waits for
  std::atomic<int> fired{0};
  std::atomic<int> slow_calls{0};

  void ping(std::string& result) override {
    Within();
    result = "pong";
  }
  void echo(std::string& result, const std::string& text) override {
    Within();
    result = text;
  }
  void nested(Item& result, const Item& item) override {
    Within();
    result = item;
  }
  std::int32_t count(const std::vector<Item>& items) override {
    return static_cast<std::int32_t>(items.size());
  }
  void declared(std::string&, const std::string& why) override {
    Declared error;
    error.why = why;
    throw error;
  }
  void undeclared(std::string&, const std::string& why) override {
    if (why == "int") throw 7;  // not a std::exception
    throw std::runtime_error(why);
  }
  std::int64_t slow(const std::int32_t milliseconds) override {
    slow_calls.fetch_add(1);
    if (milliseconds < 0) {
      gate->Wait();
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    }
    return milliseconds;
  }
  void fire(const std::string&) override {
    Within();
    fired.fetch_add(1);
  }
  void misfire(const std::string& why) override {
    fired.fetch_add(1);
    throw std::runtime_error(why);
  }
  void relay(std::string& result, const std::string& text) override {
    result = relay_to ? relay_to(text) : text;
  }
  void carried(std::string& result, const std::string& text,
               const std::map<std::string, std::string>& carrier) override {
    result = text + std::to_string(carrier.size());
  }
  void own8888(std::string& result, const std::string& mine) override { result = mine; }
  void own3333(std::string& result, const std::string& text,
               const std::map<std::int32_t, std::int32_t>& mine) override {
    result = text;
    for (const auto& [key, value] : mine) {
      result += " " + std::to_string(key) + ":" + std::to_string(value);
    }
  }
  void nothing() override {}

 private:
  void Within() {
    if (within) within();
  }
};
using EchoHandler = EchoHandlerOf<echo_plain::EchoIf, echo_plain::Item, echo_plain::Declared>;
using EchoTemplatesHandler =
    EchoHandlerOf<echo_templates::EchoIf, echo_templates::Item, echo_templates::Declared>;

}  // namespace seer::testing_support
