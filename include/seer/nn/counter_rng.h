// Flow: (seed, stream, index) -> [CounterRng] -> initial weights, dropout masks, the order of
// windows
//
// Random numbers by their index: number i costs the same whether or not those before it were ever
// asked for. So a mask does not depend on which thread computes it, a run can be resumed in the
// middle, and "the state of the generator" is one step number.
//
//   seer::CounterRng rng(seed, seer::CounterRng::StreamOf("head.weight"));
//   float u = rng.Uniform(i);                 // in [0, 1), a multiple of 2^-24
//
// The numbers are those of SplitMix64 started at a key made of seed and stream; they are part of
// the checkpoint format and do not change. Not for secrets.
//
// Threads: a plain value. Cost: two multiplications a number.
#pragma once

#include <cstdint>
#include <string_view>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

class CounterRng {
 public:
  CounterRng(std::uint64_t seed, std::uint64_t stream)
      : key_(Mix(seed + kGamma) ^ Mix(stream + 2 * kGamma)) {}

  // FNV-1a: a stream for each name, independent of what other names there are.
  static constexpr std::uint64_t StreamOf(std::string_view name) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return hash;
  }

  std::uint64_t At(std::uint64_t i) const { return Mix(key_ + (i + 1) * kGamma); }
  float Uniform(std::uint64_t i) const { return static_cast<float>(At(i) >> 40) * 0x1p-24f; }
  // In [0, n), n > 0. The bias of n / 2^64 is of no account here.
  std::uint64_t Below(std::uint64_t i, std::uint64_t n) const { return At(i) % n; }
  std::uint64_t key() const { return key_; }

  static constexpr std::uint64_t Mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  static constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15u;

 private:
  std::uint64_t key_;
};

SEER_END_NAMESPACE
