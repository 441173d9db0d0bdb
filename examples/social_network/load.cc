#include "load.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <set>
#include <utility>

#include "ComposePostService.h"
#include "SocialGraphService.h"
#include "UserService.h"
#include "WebService.h"
#include "clients.h"
#include "unix_time.h"

namespace social {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kFollows = 8;

std::string TextOf(const Person& person, const Person& friend_of, std::uint64_t draw) {
  static const char* const words[] = {"coffee", "weather", "football", "queues", "holiday",
                                      "music",  "cat",     "bicycle",  "garden", "latency"};
  std::string text = person.name + " on " + words[draw % 10] + " and " + words[draw / 10 % 10];
  if (draw / 100 % 3 == 0) text += " with @" + friend_of.name;
  if (draw / 300 % 5 == 0) text += " see http://example.com/" + std::to_string(draw % 100'000);
  return text;
}

}  // namespace

std::vector<Person> Populate(const Deployment& deployment, std::size_t people, std::uint64_t seed) {
  Callee<UserServiceClient> users(deployment, "user-service");
  Callee<SocialGraphServiceClient> graph(deployment, "social-graph-service");
  Callee<ComposePostServiceClient> compose(deployment, "compose-post-service");
  std::vector<Person> all;
  for (std::size_t i = 0; i < people; ++i) {
    Person& person = all.emplace_back();
    person.name = "user_" + std::to_string(i);
    person.id = users([&](auto& client) { return client.Register(person.name, "secret"); });
  }
  std::mt19937_64 random(seed);
  for (const Person& person : all) {
    std::set<std::int64_t> followed;
    for (std::size_t i = 0; i < kFollows; ++i) followed.insert(all[random() % people].id);
    followed.erase(person.id);
    graph([&](auto& client) {
      for (const std::int64_t whom : followed) client.Follow(person.id, whom);
    });
  }
  for (const Person& person : all) {
    Post post;
    compose([&](auto& client) {
      client.Compose(post, person.id, TextOf(person, all[random() % people], random()), {});
    });
  }
  return all;
}

struct Load::Callees {
  explicit Callees(const Deployment& deployment)
      : web(deployment, kEntry, deployment.Find(kFront) != 0 ? kFront : kEntry,
            Connections::kHttp) {}
  Callee<WebServiceClient> web;
};

Load::Load(const Deployment& deployment, std::vector<Person> people, const Plan& plan)
    : plan_(plan),
      people_(std::move(people)),
      callees_(std::make_unique<Callees>(deployment)),
      start_ns_(NowNs()),
      schedule_(plan.requests_per_s, plan.shape, plan.seed),
      open_(plan.connections) {
  for (std::size_t i = 0; i < plan.connections; ++i) {
    threads_.emplace_back([this, i] { Connection(i); });
  }
}

Load::~Load() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

// Some are asked for more often than others.
const Person& Load::Somebody(std::uint64_t draw) const {
  const double share = static_cast<double>(draw % 1'000'000) / 1e6;
  return people_[static_cast<std::size_t>(share * share * static_cast<double>(people_.size()))];
}

void Load::Request(const Arrival& arrival) {
  const Person& person = Somebody(arrival.draw);
  std::vector<Post> posts;
  switch (arrival.kind) {
    case RequestKind::kReadHome:
      return callees_->web([&](auto& client) { client.ReadHome(posts, person.id, 0, 10); });
    case RequestKind::kReadUser:
      return callees_->web([&](auto& client) { client.ReadUser(posts, person.id, 0, 10); });
    case RequestKind::kCompose: {
      const std::uint64_t draw = arrival.draw >> 20;
      std::vector<Media> media(draw % 4 == 0 ? 1 : 0);
      for (Media& one : media) {
        one.id = static_cast<std::int64_t>(arrival.draw >> 1);
        one.kind = "jpg";
      }
      Post post;
      return callees_->web([&](auto& client) {
        client.Compose(post, person.id, TextOf(person, people_[draw % people_.size()], draw),
                       media);
      });
    }
  }
}

void Load::Connection(std::size_t index) {
  for (;;) {
    Due due;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      due.arrival = schedule_.Next();
      due.at_ns = start_ns_ + due.arrival.at_ns;
      due.place = drawn_++;
      open_[index] = due;
    }
    // In steps, so that an end does not wait for a request of a low rate.
    while (!stop_ && NowNs() < due.at_ns) {
      std::this_thread::sleep_for(
          nanoseconds(std::min<std::int64_t>(due.at_ns - NowNs(), 100'000'000)));
    }
    if (stop_) return;
    bool answered = true;
    try {
      Request(due.arrival);
    } catch (const std::exception&) {
      answered = false;
    }
    const std::int64_t end = NowNs();
    const auto kind = static_cast<std::size_t>(due.arrival.kind);
    const std::lock_guard<std::mutex> lock(mutex_);
    open_[index].reset();
    seer::ClassSample& sample = samples_[plan_.period.TickAt(end)][kind];
    ++sample.count;
    if (!answered || end - due.at_ns > plan_.target_ns[kind]) ++sample.over_target;
    sample.latency.Record(end - due.at_ns);
    second_.latency[kind].Record(end - due.at_ns);
    second_.sum_ns += static_cast<double>(end - due.at_ns);
    second_.errors += answered ? 0 : 1;
    if (!plan_.each) continue;
    if (each_.size() <= due.place) each_.resize(due.place + 1, -1.0f);
    each_[due.place] = static_cast<float>(end - due.at_ns) / 1e3f;
  }
}

std::vector<seer::ClassSample> Load::Take(seer::Tick tick) {
  const std::int64_t end = plan_.period.EndNs(tick);
  std::vector<seer::ClassSample> taken(kRequestKinds);
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!samples_.empty() && samples_.begin()->first <= tick) {
    for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
      const seer::ClassSample& first = samples_.begin()->second[kind];
      taken[kind].count += first.count;
      taken[kind].over_target += first.over_target;
      taken[kind].latency.Merge(first.latency);
    }
    samples_.erase(samples_.begin());
  }
  for (const std::optional<Due>& due : open_) {
    if (!due || due->at_ns >= end) continue;
    std::int64_t& oldest = taken[static_cast<std::size_t>(due->arrival.kind)].oldest_open_ns;
    oldest = std::max(oldest, end - due->at_ns);
  }
  return taken;
}

Load::Second Load::TakeSecond() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(second_, Second());
}

std::vector<float> Load::TakeEach() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(each_, {});
}

}  // namespace social
