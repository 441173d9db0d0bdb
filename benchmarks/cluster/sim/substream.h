// Random numbers by key: what one visit of one request draws does not depend on any other draw. A
// fault that is added reshuffles nothing else, and a clone draws what the original draws.
//
// Threads: pure functions. Cost: two multiplications a number.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace seer::cluster {

inline constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15u;

// The output function of SplitMix64.
inline constexpr std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
// The key of a part of what `key` stands for.
inline constexpr std::uint64_t Sub(std::uint64_t key, std::uint64_t part) {
  return Mix(key ^ (part + 1) * kGamma);
}
inline constexpr std::uint64_t KeyOf(std::string_view name) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// In [0, 1).
inline double Uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }
// Mean 1. The argument of the logarithm is in (0, 1].
inline double Exponential(std::uint64_t bits) {
  return -std::log(static_cast<double>((bits >> 11) + 1) * 0x1p-53);
}

// What a visit draws for; XORed to its key.
inline constexpr std::uint64_t kTime = 0x6c62272e07bb0142u;
inline constexpr std::uint64_t kBranch = 0xa0761d6478bd642fu;
inline constexpr std::uint64_t kChance = 0xe7037ed1a0b428dbu;
inline constexpr std::uint64_t kStall = 0x8ebc6af09c88c6e3u;
inline constexpr std::uint64_t kStallTime = 0x589965cc75374cc3u;
inline constexpr std::uint64_t kDisk = 0x1d8e4e27c47d124fu;
inline constexpr std::uint64_t kDiskTime = 0xeb44accab455d165u;
inline constexpr std::uint64_t kReplica = 0x9e6c63d0876a9a99u;
inline constexpr std::uint64_t kLost = 0x2d358dccaa6c78a5u;
inline constexpr std::uint64_t kExtra = 0x8bb84b93962eacc9u;
inline constexpr std::uint64_t kClass = 0x4b33a62ed433d4a3u;

}  // namespace seer::cluster
