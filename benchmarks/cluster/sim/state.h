// The state of a Simulator: plain values that refer to each other by index, so that a copy of the
// vectors is a copy of the world.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "benchmarks/cluster/sim/model.h"
#include "seer/core/latency_histogram.h"
#include "seer/core/span.h"

namespace seer::cluster {

// A queue of visits, linked through Visit::next.
struct Fifo {
  std::uint32_t head = kNone;
  std::uint32_t tail = kNone;
};

// One call of one request, from the moment the caller wants it until the caller has the answer.
struct alignas(64) Visit {  // a cache line
  enum Flag : std::uint8_t {
    kFailed = 1,
    kOrphan = 2,
    kAsync = 4,
    kThread = 8,
    kPooled = 16,
    kWaitsForPool = 32,
    kExtraDone = 64,
    kTraced = 128
  };
  std::uint64_t key = 0;
  std::int64_t entered = 0;  // at the station; before: when the call began
  std::uint32_t node = 0;
  std::uint32_t parent = kNone;   // visit that waits for it
  std::uint32_t request = kNone;  // of the root alone
  std::uint32_t next = kNone;
  std::uint32_t instance = 0;
  std::uint32_t caller = kNone;  // instance; none: outside
  std::uint32_t pool = kNone;
  std::uint32_t generation = 0;  // of this slot
  std::uint32_t pending = 0;     // children not yet answered
  std::uint16_t step = 0;
  std::uint8_t flags = 0;
  std::uint8_t sends = 0;  // of the message under way
  std::uint8_t attempts = 0;

  bool Is(Flag flag) const { return (flags & flag) != 0; }
};

// Beside a visit that is traced: what its two spans will say. -1: has not happened.
struct TracedVisit {
  TraceId trace;
  std::uint64_t parent_span = 0;  // of the caller's request; 0: from outside
  std::int64_t called = -1, sent = -1, received = -1, dequeued = -1, started = -1;
  float blocked = 0;  // KeptSpan::blocked
};

struct KeptSpan {
  std::uint32_t instance = kNone;  // who recorded it; none: the client outside
  // Of the callee's side: the part of the threads for which it waited that waited for others
  // themselves, when it got one.
  float blocked = 0;
  Span span;
};

struct Request {
  std::int64_t start = 0;
  std::uint32_t request_class = 0;
  std::uint32_t older = kNone, newer = kNone;  // open ones of its class, by start
};

struct ClassState {
  std::uint32_t oldest = kNone, newest = kNone;
  std::uint64_t count = 0, over = 0, failed = 0;  // since the last tick
  LatencyHistogram latency;
};

// Arrivals as thinned points of a Poisson process at the stream's largest rate.
struct Stream {
  std::uint64_t key = 0;
  std::uint64_t drawn = 0;
  std::uint32_t application = 0;
  std::uint32_t fault = kNone;  // of a load spike
  double peak_per_ns = 0;
};

// In the order in which it is looked at, a cache line each: of a cluster of thousands of stations
// what counts is how many lines an event touches.
struct alignas(128) Station {
  // Every visit.
  Fifo thread_wait, core_wait;
  std::uint32_t service = 0, server = 0;
  std::int32_t threads = 0, thread_limit = 0, queue_limit = 0;
  std::int32_t cores = 0, core_limit = 0;
  std::int32_t waiting_thread = 0, waiting_core = 0;
  std::int32_t blocked = 0;
  double slow = 1;  // factor on service times, all of it

  // Every visit and every tick; those at the last tick.
  std::uint64_t arrived = 0, started = 0, finished = 0;
  std::uint64_t wait_ns = 0;  // from arrival to the first core, of those started
  std::uint64_t arrived_then = 0, started_then = 0, finished_then = 0, wait_then = 0;

  // Every visit, too.
  // Sums of leaving less entering times: with n * now they are the area under n(t), modulo 2^64.
  std::uint64_t core_area = 0, area = 0;
  double stall_p = 0, drop_p = 0, extra_p = 0, disk_p = 0;
  double rate_limit_per_ns = 0;
  std::uint32_t extra = kNone;  // node called before answering
  std::int32_t unsent = 0;      // messages lost and not yet sent again

  // Every epoch in which it is busy.
  std::uint64_t epoch_core_area = 0;  // at the last epoch
  // As core_area, of visits that have a thread and wait for a core; and what was booked of it.
  std::uint64_t core_wait_area = 0, booked_core_wait = 0;
  std::uint64_t slow_ns = 0, booked_slow = 0;  // of service time, what contention added
  double fault_slow = 1;                       // of `slow`, from faults
  double quota_slow = 1;                       // of fault_slow, what a quota does
  ServerModel model = ServerModel::kWorkers;
  bool locked = false;       // its cores wait for a lock, not for processors
  bool elsewhere = false;    // replicas on other servers have taken its requests over
  bool own_network = false;  // has a share of its server's links, which others do not fill

  // Now and then.
  std::int32_t plan_threads = 0, plan_cores = 0;  // without faults
  std::int32_t initial_cores = 0;
  std::uint64_t refused = 0;
  double stall_ns = 0, disk_ns = 0;
  std::int64_t next_token = 0;
  std::int64_t own_disk_free_at = 0;  // of its share of the disk, where it has one
  // Part of a resource's pressure that reaches it: less where an action gave it a share of its own.
  std::array<double, kResources> exposure = {1, 1, 1, 1, 1, 1};
};

static_assert(sizeof(Visit) == 64);

struct Pool {
  Fifo waiting;
  std::uint32_t in_use = 0;
  std::uint32_t edge = 0;
  bool timer = false;
};

struct EdgeState {
  std::uint32_t outstanding = 0, made = 0;
  std::uint32_t pool_limit = 0, plan_pool = 0;
  std::int64_t timeout_ns = 0;  // 0 = calls wait for ever
  std::uint8_t attempts = 1;
};

// A FIFO with a rate and a finite buffer: when it will be free is all its state.
struct Link {
  // A sender that heard nothing for so long sends again: on a link that became slow no message
  // waits longer, however large the buffer.
  static constexpr double kLongestWaitNs = 2e8;

  std::int64_t free_at = 0;
  double ns_per_byte = 0;
  double buffer_bytes = 0;

  // When the last byte has left, or -1 where the buffer is full.
  std::int64_t Pass(std::int64_t at, double bytes) {
    std::int64_t start = at;
    if (free_at > at) {
      start = free_at;
      if (static_cast<double>(start - at) > std::min(buffer_bytes * ns_per_byte, kLongestWaitNs)) {
        return -1;
      }
    }
    free_at = start + static_cast<std::int64_t>(bytes * ns_per_byte);
    return free_at;
  }
  double BacklogBytes(std::int64_t now) const {
    return free_at > now ? static_cast<double>(free_at - now) / ns_per_byte : 0;
  }
  // From now on. What waits keeps its bytes.
  void SetRate(std::int64_t now, double new_ns_per_byte) {
    if (free_at > now) {
      free_at = now + static_cast<std::int64_t>(static_cast<double>(free_at - now) *
                                                (new_ns_per_byte / ns_per_byte));
    }
    ns_per_byte = new_ns_per_byte;
  }
};

struct LinkTotals {
  std::uint64_t messages = 0, lost = 0;
};

// A message that waits in its server's NIC, for the channel `send` of its station.
struct Unsent {
  std::int64_t gone_at = 0;
  std::uint32_t station = 0;
};

struct alignas(128) Server {
  // Every message, of its sender; and of its receiver.
  Link out;
  double ns_per_byte = 0;  // of its NIC, without faults
  double bytes_out = 0;    // since the last epoch
  double loss = 0;
  std::int64_t detour_ns = 0;
  double incast = 0;  // part of the time in which bursts keep the buffer of `port` full
  Link port, receive;
  double receive_message_bytes = 0;  // what a message costs there beside its bytes

  Link own_out, own_port;  // of instances that have a share of their own
  double slower = 1;       // factor on ns_per_byte, from faults
  std::int64_t disk_free_at = 0;
  double disk_slow = 1;
  std::vector<Unsent> unsent;
  std::array<double, kResources> background = {};  // of neighbours, in parts of the resource
  std::array<double, kResources> level = {}, next_level = {};  // drawn for this second, the next
  std::array<double, kResources> injected = {};                // so too, from faults
  std::array<double, kResources> used = {};                    // by our instances
  std::array<double, kResources> pressure = {};
  bool pressed = false;      // any of them
  bool was_pressed = false;  // before the last epoch
  double memory_used = 0;    // part of its memory
  std::int64_t epoch_disk_free_at = 0;
};

// What never changes while a simulation runs, and is asked for all the time. Copies share it.
struct Places {
  struct Range {
    std::uint32_t first = 0, count = 0;
  };
  std::vector<Range> instances;         // of each service
  std::vector<std::uint32_t> stations;  // of all servers, one behind the other
  std::vector<Range> of_server;         // in `stations`
};

// What perfect counters of an instance would say, since the start.
struct HardwareTotals {
  std::uint64_t core_area = 0, started = 0;
  std::array<double, kResources> stall_ns = {};
  double pressed_ns = 0;  // of the processor's, on a core that neighbours had meanwhile
};

}  // namespace seer::cluster
