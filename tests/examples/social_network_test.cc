// examples/social_network: requests return what was written before, the schedule of the load is
// what it says, and nothing is left of a run, whatever ends it.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include "ComposePostService.h"
#include "HomeTimelineService.h"
#include "SearchService.h"
#include "SocialGraphService.h"
#include "UrlShortenService.h"
#include "UserService.h"
#include "UserTimelineService.h"
#include "examples/social_network/deployment.h"
#include "examples/social_network/schedule.h"
#include "tests/examples/social_application.h"

namespace seer::testing {
namespace {

using ::social::Post;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// ---- The schedule

TEST(SocialNetworkSchedule, IsTheSameForTheSameSeed) {
  social::Schedule one(300, social::Shape::kSpikes, 7), same(300, social::Shape::kSpikes, 7),
      other(300, social::Shape::kSpikes, 8);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const social::Arrival a = one.Next(), b = same.Next(), c = other.Next();
    EXPECT_EQ(a.at_ns, b.at_ns);
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(a.draw, b.draw);
    differs = differs || a.at_ns != c.at_ns;
  }
  EXPECT_TRUE(differs);
}

TEST(SocialNetworkSchedule, KeepsToTheRateOfTheMomentAndToTheMix) {
  for (const social::Shape shape :
       {social::Shape::kConstant, social::Shape::kDiurnal, social::Shape::kSpikes}) {
    SCOPED_TRACE(static_cast<int>(shape));
    social::Schedule schedule(1000, shape, 1);
    std::array<double, 60> seconds = {};
    std::array<double, social::kRequestKinds> kinds = {};
    double all = 0;
    std::int64_t last = 0;
    for (social::Arrival a = schedule.Next(); a.at_ns < 60'000'000'000; a = schedule.Next()) {
      ASSERT_GE(a.at_ns, last);
      last = a.at_ns;
      ++seconds[static_cast<std::size_t>(a.at_ns / 1'000'000'000)];
      ++kinds[static_cast<std::size_t>(a.kind)];
      ++all;
    }
    for (std::size_t s = 0; s < seconds.size(); ++s) {
      const double rate =
          schedule.RateAt(static_cast<std::int64_t>(s) * 1'000'000'000 + 500'000'000);
      EXPECT_NEAR(seconds[s], rate, 6 * std::sqrt(rate)) << "second " << s;  // Poisson's deviation
    }
    EXPECT_NEAR(kinds[0] / all, 0.6, 0.01);
    EXPECT_NEAR(kinds[1] / all, 0.3, 0.01);
    EXPECT_NEAR(kinds[2] / all, 0.1, 0.01);
  }
}

TEST(SocialNetworkSchedule, SpikesAndDaysAreWhatTheirNamesSay) {
  const social::Schedule spikes(100, social::Shape::kSpikes, 1);
  EXPECT_EQ(spikes.RateAt(0), 100);
  EXPECT_EQ(spikes.RateAt(19'000'000'000), 300);
  EXPECT_EQ(spikes.RateAt(20'000'000'000), 100);
  const social::Schedule day(100, social::Shape::kDiurnal, 1);
  EXPECT_NEAR(day.RateAt(15'000'000'000), 150, 1e-6);
  EXPECT_NEAR(day.RateAt(45'000'000'000), 50, 1e-6);
}

// ---- The application

class SocialNetwork : public SocialNetworkRun {
 protected:
  // A client of the service, which any Thrift client is.
  template <typename Client>
  Client To(const std::string& service) const {
    using namespace apache::thrift;
    auto socket = std::make_shared<transport::TSocket>("127.0.0.1", Deployed().Port(service));
    socket->setRecvTimeout(20'000);
    socket->open();
    return Client(std::make_shared<protocol::TBinaryProtocol>(
        std::make_shared<transport::TFramedTransport>(socket)));
  }
};

std::vector<std::int64_t> IdsOf(const std::vector<Post>& posts) {
  std::vector<std::int64_t> ids;
  for (const Post& post : posts) ids.push_back(post.id);
  return ids;
}

TEST_F(SocialNetwork, ReturnsWhatWasWritten) {
  Application application({"--serve"});
  ASSERT_TRUE(application.Prints("serving in ")) << application.printed();
  auto users = To<social::UserServiceClient>("user-service");
  auto graph = To<social::SocialGraphServiceClient>("social-graph-service");
  auto compose = To<social::ComposePostServiceClient>("compose-post-service");
  auto home = To<social::HomeTimelineServiceClient>("home-timeline-service");
  auto timeline = To<social::UserTimelineServiceClient>("user-timeline-service");
  auto search = To<social::SearchServiceClient>("search-service");
  auto urls = To<social::UrlShortenServiceClient>("url-shorten-service");

  // Users.
  const std::int64_t ann = users.Register("ann", "pass of ann");
  const std::int64_t bob = users.Register("bob", "pass of bob");
  const std::int64_t eve = users.Register("eve", "pass of eve");
  EXPECT_EQ(users.Login("ann", "pass of ann"), ann);
  EXPECT_THROW(users.Login("ann", "pass of bob"), social::Refused);
  EXPECT_THROW(users.Register("bob", "again"), social::Refused);
  EXPECT_THROW(users.Register("bob; DROP TABLE users", "x"), social::Refused);
  social::Creator creator;
  users.CreatorOf(creator, bob);
  EXPECT_EQ(creator.name, "bob");

  // Who follows whom.
  graph.Follow(bob, ann);
  graph.Follow(eve, bob);
  EXPECT_THROW(graph.Follow(ann, ann), social::Refused);
  std::vector<std::int64_t> followers, followed;
  graph.Followers(followers, ann);
  EXPECT_THAT(followers, ElementsAre(bob));
  graph.Followed(followed, eve);
  EXPECT_THAT(followed, ElementsAre(bob));

  // A post with all that there may be in one.
  const std::string url = "https://example.com/a/long/way?to=go";
  social::Media media;
  media.id = 42;
  media.kind = "png";
  Post first;
  compose.Compose(first, ann, "Zebras, says @eve and @nobody: " + url + " !", {media});
  EXPECT_EQ(first.creator.name, "ann");
  ASSERT_THAT(first.urls, SizeIs(1));
  EXPECT_EQ(first.urls[0].expanded, url);
  EXPECT_EQ(first.text, "Zebras, says @eve and @nobody: " + first.urls[0].shortened + " !");
  ASSERT_THAT(first.mentions, SizeIs(1));
  EXPECT_EQ(first.mentions[0].user, eve);
  EXPECT_THAT(first.media, ElementsAre(media));
  std::string expanded;
  urls.Expand(expanded, first.urls[0].shortened);
  EXPECT_EQ(expanded, url);
  EXPECT_THROW(urls.Expand(expanded, "http://sho.rt/none"), social::Refused);

  // What cannot be posted.
  Post refused;
  social::Media odd = media;
  odd.kind = "exe";
  EXPECT_THROW(compose.Compose(refused, ann, "x", {odd}), std::exception);
  EXPECT_THROW(compose.Compose(refused, ann, std::string(6000, 'x'), {}), std::exception);
  EXPECT_THROW(compose.Compose(refused, 999'999, "x", {}), std::exception);

  Post second;
  compose.Compose(second, ann, "No zebras today", {});
  EXPECT_GT(second.id, first.id);

  // Timelines, the newest first. Home timelines follow a little later: there is a queue before
  // them.
  std::vector<Post> read;
  timeline.Read(read, ann, 0, 10);
  EXPECT_THAT(read, ElementsAre(second, first));
  timeline.Read(read, ann, 1, 1);
  EXPECT_THAT(read, ElementsAre(first));
  const auto home_of = [&](std::int64_t user) {
    std::vector<Post> posts;
    home.Read(posts, user, 0, 10);
    return posts;
  };
  EXPECT_TRUE(Eventually([&] { return home_of(bob).size() == 2; }));
  EXPECT_THAT(home_of(bob), ElementsAre(second, first));
  EXPECT_TRUE(Eventually([&] { return home_of(eve).size() == 1; }));
  EXPECT_THAT(home_of(eve), ElementsAre(first)) << "she is mentioned, and does not follow";
  EXPECT_THAT(home_of(ann), IsEmpty());

  // Who no longer follows reads no more. The other follower shows when the queue is empty.
  graph.Unfollow(bob, ann);
  graph.Follow(eve, ann);
  Post third;
  compose.Compose(third, ann, "Giraffes", {});
  EXPECT_TRUE(Eventually([&] { return home_of(eve).size() == 2; }));
  EXPECT_THAT(IdsOf(home_of(bob)), ElementsAre(second.id, first.id));

  // Search.
  read.clear();
  search.Find(read, "ZEBRAS", 10);
  EXPECT_THAT(IdsOf(read), ElementsAre(second.id, first.id));
  read.clear();
  search.Find(read, "zebras says", 10);
  EXPECT_THAT(read, ElementsAre(first));
  read.clear();
  search.Find(read, "zebras giraffes", 10);
  EXPECT_THAT(read, IsEmpty());

  application.Signal(SIGTERM);
  EXPECT_EQ(application.Wait(), 0) << application.printed();
  ExpectNothingIsLeft(application);
}

TEST_F(SocialNetwork, TheProtocolWithACycleReturnsTheSame) {
  Application application({"--serve", "--cyclic"});
  ASSERT_TRUE(application.Prints("serving in ")) << application.printed();
  auto users = To<social::UserServiceClient>("user-service");
  auto compose = To<social::ComposePostServiceClient>("compose-post-service");
  auto timeline = To<social::UserTimelineServiceClient>("user-timeline-service");
  const std::int64_t ann = users.Register("ann", "secret"), eve = users.Register("eve", "secret");
  const std::string url = "https://example.com/round/and/round";
  social::Media media;
  media.id = 42;
  media.kind = "png";
  Post post;
  compose.Compose(post, ann, "In circles, @eve: " + url, {media});
  EXPECT_EQ(post.creator.name, "ann");
  ASSERT_THAT(post.urls, SizeIs(1));
  EXPECT_EQ(post.urls[0].expanded, url);
  EXPECT_EQ(post.text, "In circles, @eve: " + post.urls[0].shortened);
  ASSERT_THAT(post.mentions, SizeIs(1));
  EXPECT_EQ(post.mentions[0].user, eve);
  EXPECT_THAT(post.media, ElementsAre(media));
  std::vector<Post> read;
  timeline.Read(read, ann, 0, 10);
  EXPECT_THAT(read, ElementsAre(post));
  Post refused;
  EXPECT_THROW(compose.Compose(refused, 999'999, "x", {}), std::exception);
  application.Signal(SIGTERM);
  EXPECT_EQ(application.Wait(), 0) << application.printed();
  ExpectNothingIsLeft(application);
}

TEST_F(SocialNetwork, LeavesNothingBehindWhateverEndsIt) {
  struct Case {
    const char* when;
    int signal;
    int status;
  };
  for (const Case& c : {Case{"starting", SIGINT, 0}, Case{"serving in", SIGINT, 0},
                        Case{"serving in", SIGKILL, -SIGKILL}}) {
    SCOPED_TRACE(std::string(c.when) + ", signal " + std::to_string(c.signal));
    Application application({"--serve"});
    ASSERT_TRUE(application.Prints(c.when)) << application.printed();
    application.Signal(c.signal);
    EXPECT_EQ(application.Wait(), c.status) << application.printed();
    ExpectNothingIsLeft(application);
  }
}

TEST_F(SocialNetwork, AnswersItsLoadAndSeesAllServices) {
  Application application({"--duration", "4", "--rate", "40", "--shadow", "--no-faults", "--model",
                           "none", "--report", ""});
  EXPECT_EQ(application.Wait(), 0) << application.printed();
  EXPECT_THAT(application.printed(), HasSubstr("in all: "));
  EXPECT_THAT(application.printed(), Not(HasSubstr("failed")));
  const std::size_t seen = application.printed().find("queues seen of: ");
  ASSERT_NE(seen, std::string::npos) << application.printed();
  const std::string names = application.printed().substr(seen);
  for (const social::Role& role : social::Roles()) EXPECT_THAT(names, HasSubstr(role.name));
  for (const social::Store& store : social::Stores()) EXPECT_THAT(names, HasSubstr(store.name));
  if (::access("/usr/sbin/nginx", X_OK) == 0) {
    EXPECT_THAT(names, HasSubstr(social::kFront));
  }
  ExpectNothingIsLeft(application);
}

TEST_F(SocialNetwork, EndsAndSaysSoWhenAStoreDies) {
  Application application({"--serve"});
  ASSERT_TRUE(application.Prints("serving in ")) << application.printed();
  const pid_t store = application.Child("redis-server");
  ASSERT_GT(store, 0);
  ::kill(store, SIGKILL);
  EXPECT_EQ(application.Wait(), 1);
  EXPECT_THAT(application.printed(), HasSubstr("redis has ended"));
  ExpectNothingIsLeft(application);
}

TEST_F(SocialNetwork, SaysWhyAStoreDoesNotStart) {
  if (::geteuid() != 0) GTEST_SKIP() << "the stores run as we do, and reach all that we do";
  ::chmod(Directory().c_str(), 0700);  // stores of other users do not find their folders
  Application application({"--serve"});
  EXPECT_EQ(application.Wait(), 1);
  EXPECT_THAT(application.printed(), HasSubstr("redis does not start:"));
  EXPECT_THAT(application.printed(), HasSubstr("Permission denied")) << "as the store says it";
  ExpectNothingIsLeft(application);
}

// In a network of our own, in which all ports are taken.
bool TakeAllPorts() {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  const int device = ::socket(AF_INET, SOCK_DGRAM, 0);
  ifreq lo = {};
  lo.ifr_name[0] = 'l';
  lo.ifr_name[1] = 'o';
  lo.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(device, SIOCSIFFLAGS, &lo) != 0) return false;
  std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
  range << "40000 40003" << std::flush;
  if (!range.good()) return false;
  for (std::uint16_t port = 40'000; port <= 40'003; ++port) {
    const int taken = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (::bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  }
  return true;
}

TEST_F(SocialNetwork, SaysThatAllPortsAreTaken) {
  Application application({"--serve"}, TakeAllPorts);
  const int status = application.Wait();
  if (status == Application::kCannot) GTEST_SKIP() << "no network of our own: not root";
  EXPECT_EQ(status, 1);
  EXPECT_THAT(application.printed(), HasSubstr("there is no free port on 127.0.0.1"));
  ExpectNothingIsLeft(application);
}

TEST_F(SocialNetwork, WithoutPrivilegesItRunsAndSaysWhatItLacks) {
  ::chmod(Directory().c_str(), 0777);
  Application application(
      {"--duration", "4", "--rate", "40", "--model", "none", "--report", ""}, [] {
        constexpr uid_t kNobody = 65'534;
        return ::geteuid() != 0 ||
               (::setgroups(0, nullptr) == 0 && ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0 &&
                ::access(SEER_SOCIAL_NETWORK, X_OK) == 0);
      });
  const int status = application.Wait();
  if (status == Application::kCannot) GTEST_SKIP() << "others may not run what we have built";
  EXPECT_EQ(status, 0) << application.printed();
  EXPECT_THAT(application.printed(), HasSubstr("without limits of the network: not root"));
  EXPECT_THAT(application.printed(), HasSubstr("without limits of the processor: not root"));
  EXPECT_THAT(application.printed(), HasSubstr("part 'act'"));
  ExpectNothingIsLeft(application);
}

TEST_F(SocialNetwork, RefusesArgumentsThatMakeNoSense) {
  for (const char* argument : {"--rate=0", "--duration", "--shape", "--nonsense"}) {
    SCOPED_TRACE(argument);
    EXPECT_EQ(Application({argument}).Wait(), 2);
  }
  for (const char* value : {"0", "x", "1e9", ""}) {
    SCOPED_TRACE(value);
    EXPECT_EQ(Application({"--rate", value}).Wait(), 2);
  }
  EXPECT_EQ(Application({"--from", "a recording"}).Wait(), 2) << "a model of it goes nowhere";
}

}  // namespace
}  // namespace seer::testing
