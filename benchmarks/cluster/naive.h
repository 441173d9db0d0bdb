// A simulator of the same graphs as one writes it in an afternoon: std::priority_queue of
// callbacks, shared objects, one random generator. No network, no servers, no pools: less than
// Simulator does.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "benchmarks/cluster/sim/application.h"

namespace seer::cluster {

class NaiveSimulator {
 public:
  NaiveSimulator(const Application& app, double rate) : app_(app), rate_(rate) {
    for (const ServiceSpec& service : app_.services) {
      stations_.push_back(
          {static_cast<int>(service.cores), static_cast<int>(service.threads), {}, {}});
    }
    std::vector<double> weights;
    for (const RequestSpec& request : app_.requests) weights.push_back(request.weight);
    classes_ = std::discrete_distribution<std::size_t>(weights.begin(), weights.end());
    Arrive();
  }

  void RunFor(double seconds) {
    const double until = now_ + seconds;
    while (!events_.empty() && events_.top().time < until) {
      Event event = events_.top();
      events_.pop();
      now_ = event.time;
      event.action();
    }
    now_ = until;
  }
  std::uint64_t finished() const { return finished_; }

 private:
  using Action = std::function<void()>;
  struct Event {
    double time;
    Action action;
    bool operator<(const Event& other) const { return time > other.time; }
  };
  struct Station {
    int cores, threads;
    std::deque<Action> core_wait, thread_wait;
  };

  void At(double delay, Action action) { events_.push({now_ + delay, std::move(action)}); }
  double Exponential(double mean) {
    return std::exponential_distribution<double>(1 / std::max(mean, 1e-12))(random_);
  }
  bool Chance(double p) { return p >= 1 || std::uniform_real_distribution<double>()(random_) < p; }

  void Arrive() {
    At(Exponential(1 / rate_), [this] {
      Call(&app_.requests[classes_(random_)].calls, [this] { ++finished_; });
      Arrive();
    });
  }
  void Call(const CallSpec* call, Action done) {
    At(app_.one_way_us * 1e-6, [this, call, done = std::move(done)] {
      WithThread(call, [this, call, done] {
        WithCore(call, [this, call, done] {
          Step(call, 0, [this, call, done] {
            Station& station = stations_[call->service];
            ++station.threads;
            if (!station.thread_wait.empty()) {
              Action next = std::move(station.thread_wait.front());
              station.thread_wait.pop_front();
              --station.threads;
              next();
            }
            At(app_.one_way_us * 1e-6, done);
          });
        });
      });
    });
  }
  void WithThread(const CallSpec* call, Action then) {
    Station& station = stations_[call->service];
    if (station.threads == 0) {
      station.thread_wait.push_back(std::move(then));
      return;
    }
    --station.threads;
    then();
  }
  void WithCore(const CallSpec* call, Action then) {
    Station& station = stations_[call->service];
    auto serve = [this, call, then = std::move(then)] {
      const ServiceSpec& spec = app_.services[call->service];
      At(Exponential((call->us < 0 ? spec.mean_service_us : call->us) * 1e-6), [this, call, then] {
        Station& own = stations_[call->service];
        ++own.cores;
        if (!own.core_wait.empty()) {
          Action next = std::move(own.core_wait.front());
          own.core_wait.pop_front();
          --own.cores;
          next();
        }
        then();
      });
    };
    if (station.cores == 0) {
      station.core_wait.push_back(std::move(serve));
      return;
    }
    --station.cores;
    serve();
  }
  void Step(const CallSpec* call, std::size_t step, Action done) {
    if (step == call->then.size()) {
      done();
      return;
    }
    auto open = std::make_shared<int>(1);
    auto next = [this, call, step, done = std::move(done), open] {
      if (--*open == 0) Step(call, step + 1, done);
    };
    for (const CallSpec& child : call->then[step]) {
      if (!Chance(child.p)) continue;
      for (std::uint32_t copy = 0; copy < child.n; ++copy) {
        if (child.async) {
          Call(&child, [] {});
        } else {
          ++*open;
          Call(&child, next);
        }
      }
    }
    next();
  }

  Application app_;
  double rate_;
  double now_ = 0;
  std::uint64_t finished_ = 0;
  std::mt19937_64 random_{1};
  std::discrete_distribution<std::size_t> classes_;
  std::vector<Station> stations_;
  std::priority_queue<Event> events_;
};

}  // namespace seer::cluster
