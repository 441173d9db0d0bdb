// user and social-graph.
#include <cstdint>
#include <string>
#include <vector>

#include "ComposePostService.h"
#include "SocialGraphService.h"
#include "UserService.h"
#include "clients.h"
#include "refused.h"
#include "services.h"
#include "stores.h"

namespace social {
namespace {

constexpr std::size_t kMostFollowers = 10'000;

class Users : public UserServiceIf {
 public:
  explicit Users(const Deployment& deployment)
      : cache_({deployment, "user-service", "user-memcached"}),
        database_({deployment, "user-service", "postgres"}, {"add-user", "check", "find-user"}),
        compose_(deployment, "compose-post-service") {}

  std::int64_t Register(const std::string& name, const std::string& password) override {
    if (!IsName(name)) Refuse("name: 1 to 32 letters, digits and underscores");
    const auto rows = database_.Query("add-user",
                                      "INSERT INTO users (name, salt, hash) SELECT $1, salt, "
                                      "encode(sha256(convert_to(salt || $2, 'UTF8')), 'hex') "
                                      "FROM (SELECT gen_random_uuid()::text AS salt) AS new "
                                      "ON CONFLICT (name) DO NOTHING RETURNING id",
                                      {name, password});
    if (rows.empty()) Refuse("name: '" + name + "' is taken");
    return std::stoll(rows[0][0]);
  }
  std::int64_t Login(const std::string& name, const std::string& password) override {
    const auto rows =
        database_.Query("check",
                        "SELECT id FROM users WHERE name = $1 AND "
                        "hash = encode(sha256(convert_to(salt || $2, 'UTF8')), 'hex')",
                        {name, password});
    if (rows.empty()) Refuse("name or password: wrong");
    return std::stoll(rows[0][0]);
  }
  void CreatorOf(Creator& creator, const std::int64_t user) override {
    creator.user = user;
    const std::string key = "name-of:" + std::to_string(user);
    if (auto cached = cache_.Get(key)) {
      creator.name = *std::move(cached);
      return;
    }
    const auto rows = database_.Query("find-user", "SELECT name FROM users WHERE id = $1",
                                      {std::to_string(user)});
    if (rows.empty()) Refuse("user: there is no " + std::to_string(user));
    creator.name = rows[0][0];
    cache_.Set(key, creator.name);
  }
  void CreatorFor(const std::int64_t request, const std::int64_t user) override {
    Creator creator;
    CreatorOf(creator, user);
    compose_([&](auto& client) { client.UploadCreator(request, creator); });
  }

 private:
  Cache cache_;
  Database database_;
  Callee<ComposePostServiceClient> compose_;
};

class Graph : public SocialGraphServiceIf {
 public:
  explicit Graph(const Deployment& deployment)
      : sets_({deployment, "social-graph-service", "social-graph-redis"}) {}

  void Follow(const std::int64_t user, const std::int64_t whom) override {
    if (user == whom) Refuse("whom: nobody follows himself");
    sets_.Add(FollowersOf(whom), user, user);
    sets_.Add(FollowedBy(user), whom, whom);
  }
  void Unfollow(const std::int64_t user, const std::int64_t whom) override {
    sets_.Remove(FollowersOf(whom), user);
    sets_.Remove(FollowedBy(user), whom);
  }
  void Followers(std::vector<std::int64_t>& users, const std::int64_t user) override {
    users = sets_.Highest(FollowersOf(user), 0, kMostFollowers);
  }
  void Followed(std::vector<std::int64_t>& users, const std::int64_t user) override {
    users = sets_.Highest(FollowedBy(user), 0, kMostFollowers);
  }

 private:
  static std::string FollowersOf(std::int64_t user) { return "followers:" + std::to_string(user); }
  static std::string FollowedBy(std::int64_t user) { return "followed:" + std::to_string(user); }

  Sets sets_;
};

}  // namespace

std::shared_ptr<apache::thrift::TProcessor> MakePeopleService(const std::string& name,
                                                              const Deployment& deployment) {
  if (name == "user-service") {
    return std::make_shared<UserServiceProcessor>(std::make_shared<Users>(deployment));
  }
  if (name == "social-graph-service") {
    return std::make_shared<SocialGraphServiceProcessor>(std::make_shared<Graph>(deployment));
  }
  return nullptr;
}

}  // namespace social
