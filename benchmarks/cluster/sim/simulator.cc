// Requests, calls and stations: what happens 10^7 times a second.
#include "benchmarks/cluster/sim/simulator.h"

#include <algorithm>

#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
void Simulator::Reseed(std::uint64_t salt) {
  salt_ = Mix(salt + kGamma);
  level_second_ = -1;
}

void Simulator::RunUntil(std::int64_t until_ns) {
  while (now_ < until_ns) {
    if (now_ == next_epoch_) {
      Epoch();
      next_epoch_ += kEpochNs;
    }
    const std::int64_t limit = std::min(until_ns, next_epoch_);
    Event event;
    while (queue_.PopBefore(limit, &event)) {
      now_ = event.time_ns;
      ++events_;
      Handle(event);
    }
    now_ = limit;
  }
}

void Simulator::Handle(const Event& event) {
  switch (static_cast<What>(event.what & 0xff)) {
    case kArrival:
      Arrive(event.index);
      break;
    case kDeliver:
      Deliver(event.index);
      break;
    case kServiceEnd:
      EndService(event.index);
      break;
    case kResume:
      Advance(event.index);
      break;
    case kReply:
      Returned(event.index);
      break;
    case kResend:
      if (visits_[event.index].caller != kNone) --stations_[visits_[event.index].caller].unsent;
      Send(event.index);
      break;
    case kResendReply:
      --stations_[visits_[event.index].instance].unsent;
      SendAnswer(event.index);
      break;
    case kPoolTimer:
      ExpirePool(event.index);
      break;
    case kCallTimeout:
      TimeOut(event.index, event.what >> 8);
      break;
    case kActionDue:
      ApplyAction(event.index);
      break;
  }
}

// ---- Calls, as the caller sees them.

std::uint32_t Simulator::NewVisit() {
  if (free_visits_.empty()) {
    visits_.emplace_back();
    return static_cast<std::uint32_t>(visits_.size() - 1);
  }
  const std::uint32_t id = free_visits_.back();
  free_visits_.pop_back();
  return id;
}

void Simulator::FreeVisit(std::uint32_t visit) {
  visits_[visit].generation = (visits_[visit].generation + 1) & 0xffffff;
  free_visits_.push_back(visit);
}

std::uint32_t Simulator::PopFront(Fifo* fifo) {
  const std::uint32_t visit = fifo->head;
  fifo->head = visits_[visit].next;
  if (fifo->head == kNone) fifo->tail = kNone;
  return visit;
}

void Simulator::PushBack(Fifo* fifo, std::uint32_t visit) {
  visits_[visit].next = kNone;
  (fifo->tail == kNone ? fifo->head : visits_[fifo->tail].next) = visit;
  fifo->tail = visit;
}

// The less busy one of two drawn instances.
std::uint32_t Simulator::ChooseInstance(const Model::Node& node, std::uint64_t key) const {
  const Places::Range service = places_->instances[node.service];
  if (service.count == 1) return service.first;
  const std::uint64_t bits = Mix(key ^ salt_ ^ kReplica);
  const auto n = service.count;
  const std::uint32_t a = service.first + static_cast<std::uint32_t>(bits & 0xffffffff) % n;
  const std::uint32_t b = service.first + static_cast<std::uint32_t>(bits >> 32) % n;
  const auto depth = [&](std::uint32_t i) {
    return stations_[i].threads + stations_[i].waiting_thread;
  };
  return depth(b) < depth(a) ? b : a;
}

std::uint32_t Simulator::Call(std::uint32_t parent, std::uint32_t node_index, std::uint64_t key,
                              std::uint8_t attempts) {
  const Model::Node& node = model_->nodes[node_index];
  const std::uint32_t id = NewVisit();
  Visit& visit = visits_[id];
  visit.key = key;
  visit.entered = now_;
  visit.node = node_index;
  visit.instance = ChooseInstance(node, key);
  visit.pending = 0;
  visit.step = 0;
  visit.sends = 0;
  visit.attempts = attempts;
  visit.request = kNone;
  visit.flags = node.async ? Visit::kAsync : 0;
  visit.parent = node.async ? kNone : parent;
  visit.caller = parent == kNone ? kNone : visits_[parent].instance;
  if (span_share_ > 0) BeginSpans(id, parent);
  EdgeState& edge = edges_[node.edge];
  ++edge.outstanding;
  ++edge.made;
  if (parent == kNone || node.async) {
    Send(id);
    return id;
  }
  if (edge.timeout_ns > 0) Push(now_ + edge.timeout_ns, kCallTimeout, id, visit.generation);
  if (edge.pool_limit > 0) {
    const Model::EdgeInfo& info = model_->edges[node.edge];
    visit.pool = info.first_pool + visit.caller - places_->instances[info.caller].first;
    Pool& pool = pools_[visit.pool];
    if (pool.in_use >= edge.pool_limit) {
      visit.flags |= Visit::kWaitsForPool;
      PushBack(&pool.waiting, id);
      if (!pool.timer) {
        pool.timer = true;
        Push(now_ + info.pool_timeout_ns, kPoolTimer, visit.pool);
      }
      return id;
    }
    ++pool.in_use;
    visit.flags |= Visit::kPooled;
  }
  Send(id);
  return id;
}

void Simulator::LeaveEdge(std::uint32_t visit) {
  --edges_[model_->nodes[visits_[visit].node].edge].outstanding;
}

void Simulator::ReleaseConnection(std::uint32_t visit) {
  if (!visits_[visit].Is(Visit::kPooled)) return;
  visits_[visit].flags &= static_cast<std::uint8_t>(~Visit::kPooled);
  Pool& pool = pools_[visits_[visit].pool];
  --pool.in_use;
  while (pool.waiting.head != kNone && pool.in_use < edges_[pool.edge].pool_limit) {
    const std::uint32_t next = PopFront(&pool.waiting);
    if (visits_[next].Is(Visit::kOrphan)) {
      FreeVisit(next);
      continue;
    }
    visits_[next].flags &= static_cast<std::uint8_t>(~Visit::kWaitsForPool);
    visits_[next].flags |= Visit::kPooled;
    ++pool.in_use;
    Send(next);
  }
}

void Simulator::ExpirePool(std::uint32_t index) {
  // `timer` stays set meanwhile, so that calls made below do not set another.
  const std::int64_t patience = model_->edges[pools_[index].edge].pool_timeout_ns;
  while (pools_[index].waiting.head != kNone) {
    const std::uint32_t head = pools_[index].waiting.head;
    if (!visits_[head].Is(Visit::kOrphan)) {
      if (visits_[head].entered + patience > now_) {
        Push(visits_[head].entered + patience, kPoolTimer, index);
        return;
      }
    }
    PopFront(&pools_[index].waiting);
    if (visits_[head].Is(Visit::kOrphan)) {
      FreeVisit(head);
      continue;
    }
    const std::uint32_t parent = visits_[head].parent;
    if (visits_[head].Is(Visit::kTraced)) KeepClientSpan(head, Outcome::kTimedOut);
    LeaveEdge(head);
    FreeVisit(head);
    Settle(parent, true);
  }
  pools_[index].timer = false;
}

void Simulator::TimeOut(std::uint32_t id, std::uint32_t generation) {
  Visit& visit = visits_[id];
  if (visit.generation != generation || visit.Is(Visit::kOrphan)) return;
  const std::uint32_t parent = visit.parent;
  const std::uint32_t node = visit.node;
  const std::uint64_t key = visit.key;
  const std::uint8_t attempts = visit.attempts;
  if (visit.Is(Visit::kTraced)) KeepClientSpan(id, Outcome::kTimedOut);
  visit.flags |= Visit::kOrphan;  // nobody waits for it, and its work is done all the same
  visit.parent = kNone;
  LeaveEdge(id);
  ReleaseConnection(id);
  if (attempts > 1) {
    Call(parent, node, Sub(key, 1000 + attempts), static_cast<std::uint8_t>(attempts - 1));
  } else {
    Settle(parent, true);
  }
}

void Simulator::Send(std::uint32_t id) {
  Visit& visit = visits_[id];
  const Model::Node& node = model_->nodes[visit.node];
  const Station& to = stations_[visit.instance];
  if (visit.Is(Visit::kTraced) && visit.sends == 0) {
    traced_[id].sent = now_;
    if (visit.Is(Visit::kAsync)) KeepClientSpan(id, Outcome::kOk);
  }
  ++visit.sends;
  std::int64_t at = now_;
  if (!model_->ideal) {
    at = Transmit(visit.caller == kNone ? kNone : stations_[visit.caller].server, to.server,
                  node.request_bytes, visit.key ^ salt_ ^ kLost ^ visit.sends, to.drop_p,
                  visit.caller, visit.instance);
  }
  if (at >= 0) {
    Push(at, kDeliver, id);
  } else if (visit.sends < kMaxSends) {
    if (visit.caller != kNone) ++stations_[visit.caller].unsent;
    Push(now_ + (kRtoNs << (visit.sends - 1)), kResend, id);
  } else {  // not within a Call(): that sends once
    visit.flags |= Visit::kFailed;
    Returned(id);
  }
}

void Simulator::Returned(std::uint32_t id) {
  const Visit& visit = visits_[id];
  const bool failed = visit.Is(Visit::kFailed);
  const std::uint32_t parent = visit.parent;
  const std::uint32_t request = visit.request;
  if (visit.Is(Visit::kOrphan)) {
    FreeVisit(id);
    return;
  }
  if (visit.Is(Visit::kTraced) && !visit.Is(Visit::kAsync)) {
    KeepClientSpan(id, !failed                    ? Outcome::kOk
                       : visit.sends >= kMaxSends ? Outcome::kTransport
                                                  : Outcome::kFailed);
  }
  ReleaseConnection(id);
  LeaveEdge(id);
  FreeVisit(id);
  if (parent != kNone) {
    Settle(parent, failed);
  } else if (request != kNone) {
    EndRequest(request, failed);
  }
}

// One of those that `parent` waits for has ended.
void Simulator::Settle(std::uint32_t parent, bool failed) {
  Visit& visit = visits_[parent];
  if (failed) visit.flags |= Visit::kFailed;
  if (--visit.pending > 0) return;
  --stations_[visit.instance].blocked;
  Advance(parent);
}

// ---- Stations.

void Simulator::Deliver(std::uint32_t id) {
  Visit& visit = visits_[id];
  visit.sends = 0;
  visit.entered = now_;
  if (visit.Is(Visit::kTraced)) traced_[id].received = now_;
  Station& station = stations_[visit.instance];
  ++station.arrived;
  station.area -= static_cast<std::uint64_t>(now_);
  bool refuse = station.queue_limit > 0 && station.threads >= station.thread_limit &&
                station.waiting_thread >= station.queue_limit;
  if (station.rate_limit_per_ns > 0) {
    if (station.next_token > now_) {
      refuse = true;
      ++cost_.refused;
    } else {
      const auto gap = static_cast<std::int64_t>(1 / station.rate_limit_per_ns);
      station.next_token = std::max(station.next_token, now_ - 20 * gap) + gap;  // bursts of 20
    }
  }
  if (refuse) {
    ++station.refused;
    ++station.finished;
    station.area += static_cast<std::uint64_t>(now_);
    visit.flags |= Visit::kFailed;
    if (visit.Is(Visit::kTraced)) KeepServerSpan(id, Outcome::kRejected);
    if (visit.Is(Visit::kAsync) || visit.Is(Visit::kOrphan)) {
      if (!visit.Is(Visit::kOrphan)) LeaveEdge(id);
      FreeVisit(id);
      return;
    }
    SendAnswer(id);
    return;
  }
  if (station.threads < station.thread_limit) {
    TakeThread(id);
  } else {
    ++station.waiting_thread;
    PushBack(&station.thread_wait, id);
  }
}

void Simulator::TakeThread(std::uint32_t id) {
  Visit& visit = visits_[id];
  Station& station = stations_[visit.instance];
  if (visit.Is(Visit::kTraced)) {
    traced_[id].dequeued = now_;
    traced_[id].blocked =
        static_cast<float>(station.blocked) / static_cast<float>(std::max(1, station.threads));
  }
  ++station.threads;
  visit.flags |= Visit::kThread;
  if (station.cores < station.core_limit) {
    StartService(id);
  } else {
    ++station.waiting_core;
    MarkBusy(visit.instance);
    station.core_wait_area -= static_cast<std::uint64_t>(now_);
    PushBack(&station.core_wait, id);
  }
}

void Simulator::StartService(std::uint32_t id) {
  const Visit& visit = visits_[id];
  Station& station = stations_[visit.instance];
  const Model::Node& node = model_->nodes[visit.node];
  if (visit.Is(Visit::kTraced)) traced_[id].started = now_;
  ++station.cores;
  MarkBusy(visit.instance);
  station.core_area -= static_cast<std::uint64_t>(now_);
  ++station.started;
  station.wait_ns += static_cast<std::uint64_t>(now_ - visit.entered);
  double tail = node.tail_ns;
  if (node.p1 < 1 && Uniform(Mix(visit.key ^ salt_ ^ kBranch)) >= node.p1) tail = node.tail2_ns;
  double time = node.base_ns;
  if (tail > 0) time += tail * Exponential(Mix(visit.key ^ salt_ ^ kTime));
  if (node.measured) {  // each of the times as likely
    const double u = Uniform(Mix(visit.key ^ salt_ ^ kTime));
    time = model_->times_ns[node.first_time +
                            static_cast<std::uint32_t>(u * model_->services[node.service].times)];
  }
  const auto own = static_cast<std::int64_t>(time);
  const auto taken = static_cast<std::int64_t>(time * station.slow);
  if (taken > own) station.slow_ns += static_cast<std::uint64_t>(taken - own);
  Push(now_ + taken, kServiceEnd, id);
}

void Simulator::KickThreads(std::uint32_t index) {
  while (stations_[index].thread_wait.head != kNone &&
         stations_[index].threads < stations_[index].thread_limit) {
    --stations_[index].waiting_thread;
    TakeThread(PopFront(&stations_[index].thread_wait));
  }
}

void Simulator::KickCores(std::uint32_t index) {
  Station& station = stations_[index];
  while (station.core_wait.head != kNone && station.cores < station.core_limit) {
    --station.waiting_core;
    station.core_wait_area += static_cast<std::uint64_t>(now_);
    StartService(PopFront(&station.core_wait));
  }
}

void Simulator::EndService(std::uint32_t id) {
  const Visit& visit = visits_[id];
  Station& station = stations_[visit.instance];
  --station.cores;
  station.core_area += static_cast<std::uint64_t>(now_);
  if (station.core_wait.head != kNone) KickCores(visit.instance);
  if (station.stall_p > 0 &&
      Uniform(Mix(visit.key ^ salt_ ^ kStall)) < station.stall_p) {  // holds its thread, no core
    const double stall = station.stall_ns * Exponential(Mix(visit.key ^ salt_ ^ kStallTime));
    Push(now_ + static_cast<std::int64_t>(stall), kResume, id);
    return;
  }
  if (station.disk_p > 0 && Uniform(Mix(visit.key ^ salt_ ^ kDisk)) < station.disk_p) {
    Server& server = servers_[station.server];
    // A share of its own: others' reads neither slow it nor stand before it.
    const double exposure = station.exposure[static_cast<std::size_t>(Resource::kStorage)];
    const bool shared = exposure >= 1;
    const double slow = shared ? server.disk_slow : 1 + (server.disk_slow - 1) * exposure;
    std::int64_t& free_at = shared ? server.disk_free_at : station.own_disk_free_at;
    const double read = station.disk_ns * slow * Exponential(Mix(visit.key ^ salt_ ^ kDiskTime));
    const std::int64_t start = std::max(free_at, now_);
    free_at = start + static_cast<std::int64_t>(read);
    hardware_[visit.instance].stall_ns[static_cast<std::size_t>(Resource::kStorage)] +=
        static_cast<double>(free_at - now_);
    Push(free_at, kResume, id);
    return;
  }
  Advance(id);
}

// The next step of the visit's tree that calls anybody, or the answer. Calls never return within
// Call(): what they start is an event.
void Simulator::Advance(std::uint32_t id) {
  const Model::Node& node = model_->nodes[visits_[id].node];
  const std::uint64_t key = visits_[id].key;
  while (visits_[id].step < node.steps && !visits_[id].Is(Visit::kFailed)) {
    const Model::Step& step = model_->steps[node.first_step + visits_[id].step++];
    std::uint32_t pending = 0;
    for (std::uint32_t c = step.first_node; c < step.first_node + step.nodes; ++c) {
      const Model::Node& child = model_->nodes[c];
      const std::uint64_t child_key = Mix(key ^ child.key);
      if (child.p < 1) {
        const double p =
            child.cache == kNone ? child.p : child.p + (1 - child.p) * cold_[child.cache];
        if (Uniform(Mix(child_key ^ salt_ ^ kChance)) >= p) continue;
      }
      const std::uint8_t attempts = edges_[child.edge].attempts;
      Call(id, c, child_key, attempts);
      for (std::uint32_t copy = 1; copy < child.copies; ++copy) {
        Call(id, c, Sub(child_key, copy), attempts);
      }
      if (!child.async) pending += child.copies;
    }
    if (pending > 0) {
      visits_[id].pending = pending;
      ++stations_[visits_[id].instance].blocked;
      return;
    }
  }
  const Station& station = stations_[visits_[id].instance];
  if (station.extra != kNone && !visits_[id].Is(Visit::kExtraDone) &&
      !visits_[id].Is(Visit::kFailed) && Uniform(Mix(key ^ salt_ ^ kExtra)) < station.extra_p) {
    visits_[id].flags |= Visit::kExtraDone;
    const std::uint32_t extra = station.extra;
    visits_[id].pending = 1;
    ++stations_[visits_[id].instance].blocked;
    Call(id, extra, Mix(key ^ model_->nodes[extra].key), 1);
    return;
  }
  Answer(id);
}

void Simulator::Answer(std::uint32_t id) {
  const std::uint32_t instance = visits_[id].instance;
  Station& station = stations_[instance];
  --station.threads;
  ++station.finished;
  station.area += static_cast<std::uint64_t>(now_);
  if (visits_[id].Is(Visit::kTraced)) {
    KeepServerSpan(id, visits_[id].Is(Visit::kFailed) ? Outcome::kFailed : Outcome::kOk);
  }
  if (station.thread_wait.head != kNone) KickThreads(instance);
  const Visit& visit = visits_[id];
  if (visit.Is(Visit::kOrphan)) {
    FreeVisit(id);
  } else if (visit.Is(Visit::kAsync)) {
    LeaveEdge(id);
    FreeVisit(id);
  } else {
    SendAnswer(id);
  }
}

void Simulator::SendAnswer(std::uint32_t id) {
  Visit& visit = visits_[id];
  const Model::Node& node = model_->nodes[visit.node];
  const Station& from = stations_[visit.instance];
  ++visit.sends;
  std::int64_t at = now_;
  if (!model_->ideal) {
    at = Transmit(from.server, visit.caller == kNone ? kNone : stations_[visit.caller].server,
                  node.response_bytes, visit.key ^ salt_ ^ ~kLost ^ visit.sends, from.drop_p,
                  visit.instance, visit.caller);
  }
  if (at >= 0) {
    Push(at, kReply, id);
  } else if (visit.sends < kMaxSends) {
    ++stations_[visit.instance].unsent;
    Push(now_ + (kRtoNs << (visit.sends - 1)), kResendReply, id);
  } else {
    visit.flags |= Visit::kFailed;
    Returned(id);
  }
}

}  // namespace seer::cluster
