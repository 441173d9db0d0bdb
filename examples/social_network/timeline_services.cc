// user-timeline, home-timeline, and the consumer that writes home timelines.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "HomeTimelineService.h"
#include "PostStorageService.h"
#include "SocialGraphService.h"
#include "UserTimelineService.h"
#include "clients.h"
#include "fan_out.h"
#include "seer/trace/propagation.h"
#include "seer/trace/rpc_scope.h"
#include "services.h"
#include "stores.h"
#include "switches.h"

namespace social {
namespace {

constexpr std::size_t kMostPosts = 1000;  // of a timeline: the newest
constexpr std::int32_t kMostRead = 100;

std::string HomeOf(std::int64_t user) { return "home:" + std::to_string(user); }
std::string TimelineOf(std::int64_t user) { return "user:" + std::to_string(user); }

// Posts out of a timeline in redis, read from post-storage.
class Timeline {
 public:
  Timeline(const Deployment& deployment, const std::string& service)
      : sets_({deployment, service, "timeline-redis"}),
        storage_(deployment, "post-storage-service") {}

  void Read(std::vector<Post>& read, const std::string& timeline, std::int32_t skip,
            std::int32_t count) {
    if (skip < 0 || count <= 0) return;
    const std::vector<std::int64_t> posts =
        sets_.Highest(timeline, static_cast<std::size_t>(skip),
                      static_cast<std::size_t>(std::min(count, kMostRead)));
    if (posts.empty()) return;
    storage_([&](auto& client) { client.Read(read, posts); });
  }
  Sets& sets() { return sets_; }

 private:
  Sets sets_;
  Callee<PostStorageServiceClient> storage_;
};

class UserTimeline : public UserTimelineServiceIf {
 public:
  explicit UserTimeline(const Deployment& deployment)
      : timeline_(deployment, "user-timeline-service") {}

  void Write(const std::int64_t user, const std::int64_t post) override {
    timeline_.sets().AddToAll({TimelineOf(user)}, post, post, kMostPosts);
  }
  void Read(std::vector<Post>& read, const std::int64_t user, const std::int32_t skip,
            const std::int32_t count) override {
    timeline_.Read(read, TimelineOf(user), skip, count);
  }

 private:
  Timeline timeline_;
};

class HomeTimeline : public HomeTimelineServiceIf {
 public:
  explicit HomeTimeline(const Deployment& deployment)
      : timeline_(deployment, "home-timeline-service") {}

  void Read(std::vector<Post>& read, const std::int64_t user, const std::int32_t skip,
            const std::int32_t count) override {
    timeline_.Read(read, HomeOf(user), skip, count);
  }

 private:
  Timeline timeline_;
};

}  // namespace

std::string EncodeFanOut(const Post& post, const seer::TraceContext& context) {
  std::map<std::string, std::string> lines;
  seer::Inject(context, &lines);
  lines["post"] = std::to_string(post.id);
  lines["creator"] = std::to_string(post.creator.user);
  for (const Mention& mention : post.mentions) {
    lines["mentioned"] += std::to_string(mention.user) + " ";
  }
  std::string message;
  for (const auto& [key, value] : lines) message += key + "=" + value + "\n";
  return message;
}

FanOut DecodeFanOut(const std::string& message) {
  std::map<std::string, std::string> lines;
  std::istringstream text(message);
  for (std::string line; std::getline(text, line);) {
    const std::size_t end = line.find('=');
    if (end != std::string::npos) lines[line.substr(0, end)] = line.substr(end + 1);
  }
  FanOut fan_out;
  std::istringstream(lines["post"]) >> fan_out.post;
  std::istringstream(lines["creator"]) >> fan_out.creator;
  std::istringstream mentioned(lines["mentioned"]);
  for (std::int64_t user; mentioned >> user;) fan_out.mentioned.push_back(user);
  fan_out.context = seer::Extract(lines);
  return fan_out;
}

void WriteHomeTimelines(const Role& role, const Deployment& deployment) {
  // Its requests come out of a queue and not over Thrift: what is served is told by hand.
  const auto rpc = seer::ServedRpc::Add(role.name, "FanOut");
  if (!rpc.ok()) throw std::runtime_error(std::string(rpc.status().message()));
  WorkQueue queue({deployment, role.name, "home-timeline-queue"});
  Sets timelines({deployment, role.name, "timeline-redis"});
  Callee<SocialGraphServiceClient> graph(deployment, "social-graph-service");

  const SwitchBoard board(deployment);
  const auto serve = [&](const FanOut& fan_out) {
    seer::ServedCall call(*rpc, fan_out.context);
    {
      seer::HandlerScope handling(&call);
      WaitAsSwitched(board.Of(role.name));
      std::vector<std::int64_t> followers;
      graph([&](auto& client) { client.Followers(followers, fan_out.creator); });
      std::set<std::int64_t> readers(followers.begin(), followers.end());
      readers.insert(fan_out.mentioned.begin(), fan_out.mentioned.end());
      std::vector<std::string> homes;
      for (const std::int64_t reader : readers) homes.push_back(HomeOf(reader));
      if (!homes.empty()) timelines.AddToAll(homes, fan_out.post, fan_out.post, kMostPosts);
    }
    call.End(seer::Outcome::kOk);
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < role.workers; ++i) {
    workers.emplace_back([&] {
      for (;;) {
        try {
          if (const std::optional<std::string> message = queue.Pop()) {
            serve(DecodeFanOut(*message));
          }
        } catch (const std::exception& e) {
          // The message is lost, as it would be with any queue that does not wait for an answer.
          std::fprintf(stderr, "%s: %s\n", role.name, e.what());
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
      }
    });
  }
  deployment.Announce(role.name, 1);  // it has no port: it works
  for (std::thread& worker : workers) worker.join();
  throw std::logic_error("the workers do not end");
}

std::shared_ptr<apache::thrift::TProcessor> MakeTimelineService(const std::string& name,
                                                                const Deployment& deployment) {
  if (name == "user-timeline-service") {
    return std::make_shared<UserTimelineServiceProcessor>(
        std::make_shared<UserTimeline>(deployment));
  }
  if (name == "home-timeline-service") {
    return std::make_shared<HomeTimelineServiceProcessor>(
        std::make_shared<HomeTimeline>(deployment));
  }
  return nullptr;
}

std::shared_ptr<apache::thrift::TProcessor> MakeService(const std::string& name,
                                                        const Deployment& deployment) {
  for (const auto make :
       {MakeTextService, MakePeopleService, MakePostService, MakeTimelineService}) {
    if (auto processor = make(name, deployment)) return processor;
  }
  throw std::invalid_argument(name + ": there is no such service");
}

void MakeTables(const Deployment& deployment) {
  Database database({deployment, "clients", "postgres"}, {"tables"});
  for (const char* table :
       {"CREATE TABLE users (id bigserial PRIMARY KEY, name text UNIQUE NOT NULL, "
        "salt text NOT NULL, hash text NOT NULL)",
        "CREATE TABLE urls (shortened text PRIMARY KEY, expanded text NOT NULL)",
        "CREATE TABLE posts (id bigint PRIMARY KEY, post text NOT NULL)"}) {
    database.Query("tables", table, {});
  }
}

}  // namespace social
