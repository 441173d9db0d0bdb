// What the tests of act/ share: a folder of their own, settings in memory with troubles of all
// kinds, and a recommendation to start from.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "seer/act/actuator.h"
#include "seer/act/executor.h"
#include "seer/core/clock.h"

namespace seer::testing {

inline constexpr std::int64_t kStartNs = 1'700'000'000'000'000'000;
inline constexpr std::int64_t kSecondNs = 1'000'000'000;

class TestFolder {
 public:
  TestFolder() {
    // Where syncing costs nothing, if there is such a place.
    std::error_code none;
    const std::filesystem::path parent = std::filesystem::is_directory("/dev/shm", none)
                                             ? std::filesystem::path("/dev/shm")
                                             : std::filesystem::temp_directory_path();
    std::string path = (parent / "seer-act-XXXXXX").string();
    const char* const made = ::mkdtemp(path.data());
    EXPECT_NE(made, nullptr);
    if (made != nullptr) path_ = path;
  }
  ~TestFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string At(const std::string& file) const { return path_ + "/" + file; }
  void Write(const std::string& file, std::string_view text) const {
    const std::filesystem::path path = At(file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  std::string Read(const std::string& file) const {
    std::ifstream in(At(file), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

 private:
  std::string path_;
};

// Settings that outlive the actuator, as the kernel's do: pools of services, in whole numbers.
struct Settings {
  std::map<std::string, std::string> values;
  int writes = 0;
  std::function<absl::Status(const std::string&, std::string*)> on_write;  // may change the text
  std::function<absl::Status(const std::string&)> on_read;
  std::string held_by_other;
};

class MemoryActuator final : public Actuator {
 public:
  explicit MemoryActuator(Settings* settings) : settings_(settings) {}

  std::string_view name() const override { return "memory"; }
  bool Can(Action action) const override { return action == Action::kPoolSize; }
  // A service "a+b" has two knobs, a and b.
  absl::StatusOr<ActionPlan> Plan(const Recommendation& r) override {
    ActionPlan plan;
    plan.to = r.to;
    std::string rest = r.target.service;
    while (!rest.empty()) {
      const std::size_t plus = std::min(rest.find('+'), rest.size());
      const std::string knob = rest.substr(0, plus);
      rest.erase(0, plus + 1);
      absl::StatusOr<std::string> text = Read(knob);
      if (!text.ok()) return text.status();
      if (*text == "none") plan.unlimited = true;
      (void)absl::SimpleAtod(*text, &plan.from);
      const std::string after = absl::StrCat(static_cast<long>(r.to));
      if (after != *text) plan.changes.push_back({knob, *text, after});
    }
    return plan;
  }
  absl::StatusOr<std::string> Read(const std::string& knob) override {
    if (settings_->on_read) {
      if (absl::Status status = settings_->on_read(knob); !status.ok()) return status;
    }
    const auto found = settings_->values.find(knob);
    if (found == settings_->values.end()) return absl::NotFoundError("no such pool");
    return found->second;
  }
  absl::Status Write(const std::string& knob, const std::string& text) override {
    ++settings_->writes;
    std::string written = text;
    if (settings_->on_write) {
      if (absl::Status status = settings_->on_write(knob, &written); !status.ok()) return status;
    }
    settings_->values[knob] = written;
    return absl::OkStatus();
  }
  absl::Status Hold(const std::string& knob) override {
    if (knob == settings_->held_by_other) return absl::UnavailableError("held by another");
    ++held_[knob];
    return absl::OkStatus();
  }
  void Release(const std::string& knob) override { --held_[knob]; }

 private:
  Settings* settings_;
  std::map<std::string, int> held_;
};

inline Recommendation PoolTo(double to, const std::string& service = "cart") {
  static std::uint64_t next_id = 1;
  Recommendation r;
  r.id = next_id++;
  r.issued_ns = kStartNs;
  r.target.service = service;
  r.action = Action::kPoolSize;
  r.to = to;
  r.lower = 1;
  r.upper = 1000;
  r.expires_ns = kStartNs + 10 * kSecondNs;
  return r;
}

// An executor over settings in memory, with clocks of its own.
struct PoolNode {
  PoolNode() { options.clock = options.steady = nullptr; }
  absl::Status Start() {
    executor.reset();
    options.dry_run = dry_run;
    options.journal_path = folder.At("journal");
    options.clock = &clock;
    options.steady = &steady;
    std::vector<std::unique_ptr<Actuator>> actuators;
    actuators.push_back(std::make_unique<MemoryActuator>(&settings));
    absl::StatusOr<std::unique_ptr<Executor>> made =
        Executor::Create(options, std::move(actuators));
    if (made.ok()) executor = *std::move(made);
    return made.status();
  }

  TestFolder folder;
  Settings settings{{{"cart", "100"}, {"front", "40"}}, 0, nullptr, nullptr, ""};
  ManualClock clock{kStartNs};
  ManualClock steady{5 * kSecondNs};
  ExecutorOptions options;
  bool dry_run = false;
  std::unique_ptr<Executor> executor;
};

}  // namespace seer::testing
