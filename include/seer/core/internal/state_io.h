// Flow: (internal) what something has learnt -> [StateIo] -> bytes -> [StateIo] -> the same again
//
// One description of a state serves saving and loading, so that the two cannot drift apart:
//
//   void State(internal::StateIo& io) {
//     io(started_);
//     io(values_);                                              // a list of numbers
//     io.List(rows_, 9, [&](Row& row) { io(row.id); io(row.at_ns); });
//   }
//
// Whatever bytes arrive: after the first that do not fit every value is left as it was, ok() is
// false, and no list is made longer than the bytes that are there. What numbers mean is for the
// caller to ask (Require). The bytes carry no checksum and no version: their envelope does.
//
// Threads: one at a time. Cost: a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class StateIo {
 public:
  explicit StateIo(std::string* out) : out_(out) {}   // saves, behind what is there
  explicit StateIo(std::string_view in) : in_(in) {}  // loads
  StateIo(const StateIo&) = delete;
  StateIo& operator=(const StateIo&) = delete;

  bool loading() const { return out_ == nullptr; }
  bool ok() const { return wrong_ == nullptr; }
  // Loading: bytes that were not read yet.
  std::size_t left() const { return in_.size(); }
  // What is loaded has to be so. `what` outlives this; the first that is not holds.
  void Require(bool so, const char* what) {
    if (!so && ok()) wrong_ = what;
  }
  // InvalidArgument names what was wrong; so too where bytes are left.
  absl::Status status() const {
    if (ok() && (!loading() || in_.empty())) return absl::OkStatus();
    std::string text = "state: ";
    text += ok() ? "bytes behind its end" : wrong_;
    return absl::InvalidArgumentError(text + ": take another copy");
  }

  // Numbers, enumerations (whose values the caller checks), ids. Floating-point ones are finite.
  template <typename T, std::enable_if_t<std::is_trivially_copyable_v<T>, int> = 0>
  void operator()(T& value) {
    static_assert(!std::is_pointer_v<T> && sizeof(T) <= 8, "fields one by one");
    if (!loading()) {
      out_->append(reinterpret_cast<const char*>(&value), sizeof(T));
      return;
    }
    T read;
    if (!Take(&read, sizeof(T))) return;
    if constexpr (std::is_floating_point_v<T>) {
      if (!Finite(read)) return Require(false, "a number is not finite");
    }
    value = read;
  }
  void operator()(bool& value) {
    std::uint8_t byte = value ? 1 : 0;
    (*this)(byte);
    Require(byte <= 1, "neither true nor false");
    if (ok()) value = byte != 0;
  }
  void operator()(std::string& text) {
    std::size_t size = text.size();
    if (!Count(&size, 1)) return;
    if (!loading()) {
      *out_ += text;
      return;
    }
    text.assign(in_.data(), size);
    in_.remove_prefix(size);
  }
  // Numbers or ids.
  template <typename T, std::enable_if_t<std::is_trivially_copyable_v<T>, int> = 0>
  void operator()(std::vector<T>& values) {
    static_assert(sizeof(T) <= 8 && !std::is_same_v<T, bool>, "use List() for what has fields");
    std::size_t size = values.size();
    if (!Count(&size, sizeof(T))) return;
    if (!loading()) {
      if (size > 0) out_->append(reinterpret_cast<const char*>(values.data()), size * sizeof(T));
      return;
    }
    std::vector<T> read(size);
    if (size > 0 && !Take(read.data(), size * sizeof(T))) return;
    if constexpr (std::is_floating_point_v<T>) {
      for (const T each : read) Require(Finite(each), "a number is not finite");
      if (!ok()) return;
    }
    values.swap(read);
  }
  // Where NaN says that something is not known.
  void AnyFloat(float& value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    (*this)(bits);
    if (ok()) std::memcpy(&value, &bits, sizeof(bits));
  }
  void AnyFloats(std::vector<float>& values) {
    List(values, sizeof(float), [this](float& value) { AnyFloat(value); });
  }
  // `each(row)` for every row; one takes `min_bytes` at least.
  template <typename Rows, typename Each>
  void List(Rows& rows, std::size_t min_bytes, Each each) {
    std::size_t size = rows.size();
    if (!Count(&size, min_bytes)) return;
    if (loading()) rows.resize(size);
    for (auto& row : rows) {
      if (!ok()) return;
      each(row);
    }
  }
  // A number of rows that follow.
  bool Count(std::size_t* count, std::size_t min_bytes) {
    std::uint64_t number = *count;
    (*this)(number);
    if (!ok()) return false;
    if (loading() && number > in_.size() / min_bytes) {
      Require(false, "a list is longer than its bytes");
      return false;
    }
    *count = static_cast<std::size_t>(number);
    return true;
  }

 private:
  bool Take(void* to, std::size_t bytes) {
    Require(in_.size() >= bytes, "ends too early");
    if (!ok()) return false;
    std::memcpy(to, in_.data(), bytes);
    in_.remove_prefix(bytes);
    return true;
  }
  // By the bits: under -ffast-math std::isfinite() is always true.
  static bool Finite(double value) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return (bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
  }

  std::string* out_ = nullptr;
  std::string_view in_;
  const char* wrong_ = nullptr;
};

}  // namespace internal
SEER_END_NAMESPACE
