// A figure: a number that somebody waits for, with a stable id, made from Google Benchmark runs.
//
//   void BM_Encode(benchmark::State& state) { ... }
//   BENCHMARK(BM_Encode)->Arg(386);
//   void BM_EncodeProtobuf(benchmark::State& state) { ... }
//   BENCHMARK(BM_EncodeProtobuf)->Arg(386);
//
//   SEER_FIGURE(encode_us, Time("wire.encode386_us", "us", "<= 6", "BM_Encode/386"));
//   SEER_FIGURE(encode_vs, Speedup("wire.encode_vs_protobuf", ">= 3", "BM_Encode/386",
//                                  "BM_EncodeProtobuf/386", "libprotobuf"));
//
// Every benchmark of the program runs several times, all of them in random order, so that a machine
// that gets slower meanwhile slows them alike. A figure's value is the median over the repetitions;
// its interval goes from the 10th to the 90th percentile, or is what the benchmark itself says it
// is (Counter). Time is CPU time of the measuring thread, or real time where the benchmark says
// UseRealTime().
#pragma once

#include <string>

namespace seer::bench {

struct Figure {
  std::string id;
  std::string unit;
  std::string goal;       // as text, only shown
  std::string benchmark;  // whose runs are measured
  std::string peer;       // whose time is divided by ours; empty: the figure is a time or a counter
  std::string peer_name;  // for people
  std::string counter;    // a user counter of the benchmark instead of its time
  bool of_peer = false;   // our time divided by the peer's instead
};

// A time per iteration; the unit is ns, us, ms or s.
inline Figure Time(std::string id, std::string unit, std::string goal, std::string benchmark) {
  return {std::move(id), std::move(unit), std::move(goal), std::move(benchmark), "", "", ""};
}
// How many times faster than a peer in the same run.
inline Figure Speedup(std::string id, std::string goal, std::string benchmark, std::string peer,
                      std::string peer_name) {
  return {std::move(id),        "x", std::move(goal), std::move(benchmark), std::move(peer),
          std::move(peer_name), ""};
}
// Our time as a part of a peer's in the same run.
inline Figure Ratio(std::string id, std::string goal, std::string benchmark, std::string peer,
                    std::string peer_name) {
  Figure figure = Speedup(std::move(id), std::move(goal), std::move(benchmark), std::move(peer),
                          std::move(peer_name));
  figure.of_peer = true;
  return figure;
}
// A counter that the benchmark sets in state.counters. Where it sets <counter>_low and
// <counter>_high too, they are the figure's interval: of a benchmark that repeats within itself.
inline Figure Counter(std::string id, std::string unit, std::string goal, std::string benchmark,
                      std::string counter) {
  return {std::move(id),     std::move(unit), std::move(goal), std::move(benchmark), "", "",
          std::move(counter)};
}

int Register(Figure figure);

}  // namespace seer::bench

#define SEER_FIGURE(name, figure) \
  [[maybe_unused]] const int seer_figure_##name = ::seer::bench::Register(::seer::bench::figure)
