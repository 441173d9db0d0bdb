// compose-post, post-storage and search; and web, where all requests come in.
#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <thrift/transport/TBufferTransports.h>

#include "ComposePostService.h"
#include "HomeTimelineService.h"
#include "MediaService.h"
#include "PostStorageService.h"
#include "SearchService.h"
#include "TextService.h"
#include "UniqueIdService.h"
#include "UserService.h"
#include "UserTimelineService.h"
#include "WebService.h"
#include "clients.h"
#include "fan_out.h"
#include "refused.h"
#include "seer/trace/context.h"
#include "services.h"
#include "stores.h"
#include "switches.h"

namespace social {
namespace {

using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::transport::TMemoryBuffer;

constexpr std::size_t kMostRead = 100;

// As it is stored: Thrift's binary form, in hexadecimal.
std::string ToHex(const Post& post) {
  auto buffer = std::make_shared<TMemoryBuffer>();
  TBinaryProtocol protocol(buffer);
  post.write(&protocol);
  static const char digits[] = "0123456789abcdef";
  std::string hex;
  for (const char byte : buffer->getBufferAsString()) {
    const auto value = static_cast<unsigned char>(byte);
    hex += digits[value >> 4];
    hex += digits[value & 15];
  }
  return hex;
}

Post FromHex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  auto buffer = std::make_shared<TMemoryBuffer>();
  buffer->resetBuffer(reinterpret_cast<std::uint8_t*>(bytes.data()),
                      static_cast<std::uint32_t>(bytes.size()), TMemoryBuffer::COPY);
  TBinaryProtocol protocol(buffer);
  Post post;
  post.read(&protocol);
  return post;
}

class PostStorage : public PostStorageServiceIf {
 public:
  explicit PostStorage(const Deployment& deployment)
      : cache_({deployment, "post-storage-service", "post-memcached"}),
        database_({deployment, "post-storage-service", "postgres"}, {"insert-post", "find-posts"}) {
  }

  void Store(const Post& post) override {
    const std::string hex = ToHex(post);
    const std::string id = std::to_string(post.id);
    database_.Query("insert-post", "INSERT INTO posts VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    {id, hex});
    cache_.Set("post:" + id, hex);
  }
  void Read(std::vector<Post>& read, const std::vector<std::int64_t>& posts) override {
    std::vector<std::string> keys;
    for (const std::int64_t id : posts) keys.push_back("post:" + std::to_string(id));
    if (keys.size() > kMostRead) keys.resize(kMostRead);
    std::map<std::string, std::string> found = cache_.Get(keys);
    std::string missing;
    for (const std::string& key : keys) {
      if (found.count(key) == 0) missing += (missing.empty() ? "" : ",") + key.substr(5);
    }
    if (!missing.empty()) {
      for (Database::Row& row :
           database_.Query("find-posts", "SELECT id, post FROM posts WHERE id = ANY($1::bigint[])",
                           {"{" + missing + "}"})) {
        cache_.Set("post:" + row[0], row[1]);
        found["post:" + row[0]] = std::move(row[1]);
      }
    }
    for (const std::string& key : keys) {
      const auto hex = found.find(key);
      if (hex != found.end()) read.push_back(FromHex(hex->second));
    }
  }

 private:
  Cache cache_;
  Database database_;
};

// Letters and digits of a word in small letters; what is shorter than two is no word.
std::set<std::string> WordsOf(const std::string& text) {
  std::set<std::string> words;
  std::string word;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char letter = i < text.size() ? text[i] : ' ';
    if (IsNameLetter(letter)) {
      if (word.size() < 64) {
        word += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
      }
    } else {
      if (word.size() >= 2) words.insert(word);
      word.clear();
    }
  }
  return words;
}

class Search : public SearchServiceIf {
 public:
  explicit Search(const Deployment& deployment)
      : index_({deployment, "search-service", "search-redis"}),
        storage_(deployment, "post-storage-service") {}

  void Index(const std::int64_t post, const std::string& text) override {
    index_.AddToAll(Keys(text), post, post, kMostPosts);
  }
  void Find(std::vector<Post>& found, const std::string& words, const std::int32_t count) override {
    const std::vector<std::string> keys = Keys(words);
    if (keys.empty() || count <= 0) return;
    const std::vector<std::int64_t> posts =
        index_.InAll(keys, std::min(kMostRead, static_cast<std::size_t>(count)));
    if (posts.empty()) return;
    storage_([&](auto& client) { client.Read(found, posts); });
  }

 private:
  static constexpr std::size_t kMostPosts = 1000;  // of a word: the newest

  static std::vector<std::string> Keys(const std::string& text) {
    std::vector<std::string> keys;
    for (const std::string& word : WordsOf(text)) keys.push_back("word:" + word);
    return keys;
  }

  Sets index_;
  Callee<PostStorageServiceClient> storage_;
};

// In another thread, for the request of this one.
template <typename Work>
auto Async(Work work) {
  return std::async(std::launch::async, seer::Bind(std::move(work)));
}

// What was uploaded for the posts that are being composed. The worker that composes waits until
// those who upload have been answered, by workers of the same pool: a cycle. When all workers
// compose, nobody takes an upload, until the calls are given up.
class Uploads {
 public:
  struct Parts {
    Text text;
    Creator creator;
  };
  std::int64_t Begin() {
    const std::lock_guard<std::mutex> lock(mutex_);
    parts_[++last_];
    return last_;
  }
  template <typename Put>
  void Take(std::int64_t request, Put put) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = parts_.find(request);
    if (found != parts_.end()) put(found->second);  // else it was given up
  }
  void End(std::int64_t request, Text* text, Creator* creator) {
    const std::lock_guard<std::mutex> lock(mutex_);
    *text = std::move(parts_[request].text);
    *creator = std::move(parts_[request].creator);
    parts_.erase(request);
    // Those that were given up without an end.
    while (parts_.size() > 1000) parts_.erase(parts_.begin());
  }

 private:
  std::mutex mutex_;
  std::map<std::int64_t, Parts> parts_;  // guarded by mutex_
  std::int64_t last_ = 0;                // guarded by mutex_
};

class ComposePost : public ComposePostServiceIf {
 public:
  explicit ComposePost(const Deployment& deployment)
      : board_(deployment),
        ids_(deployment, "unique-id-service"),
        users_(deployment, "user-service"),
        texts_(deployment, "text-service"),
        media_(deployment, "media-service", Connections::kForOneCall),
        storage_(deployment, "post-storage-service"),
        timelines_(deployment, "user-timeline-service"),
        search_(deployment, "search-service"),
        queue_({deployment, "compose-post-service", "home-timeline-queue"}) {}

  // The parts at the same time, then the stores, then the queue: who follows the user reads the
  // post a little later.
  void Compose(Post& post, const std::int64_t user, const std::string& text,
               const std::vector<Media>& media) override {
    auto id = Async([&] { return ids_([](auto& client) { return client.Next(); }); });
    const bool cyclic = board_->cyclic.load(std::memory_order_relaxed) != 0;
    const std::int64_t request = cyclic ? uploads_.Begin() : 0;
    auto composed = Async([&] {
      Text answer;
      texts_([&](auto& client) {
        cyclic ? client.ComposeFor(request, text) : client.Compose(answer, text);
      });
      return answer;
    });
    auto attached = Async([&] {
      if (!media.empty()) media_([&](auto& client) { client.Attach(media); });
    });
    users_([&](auto& client) {
      cyclic ? client.CreatorFor(request, user) : client.CreatorOf(post.creator, user);
    });
    attached.get();
    Text parts = composed.get();
    if (cyclic) uploads_.End(request, &parts, &post.creator);
    post.id = id.get();
    post.text = std::move(parts.text);
    post.mentions = std::move(parts.mentions);
    post.urls = std::move(parts.urls);
    post.media = media;
    post.created_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();

    storage_([&](auto& client) { client.Store(post); });
    auto indexed = Async([&] { search_([&](auto& client) { client.Index(post.id, post.text); }); });
    timelines_([&](auto& client) { client.Write(user, post.id); });
    indexed.get();
    queue_.Push(EncodeFanOut(post, seer::CurrentContext()));
  }
  void UploadText(const std::int64_t request, const Text& text) override {
    uploads_.Take(request, [&](Uploads::Parts& parts) { parts.text = text; });
  }
  void UploadCreator(const std::int64_t request, const Creator& creator) override {
    uploads_.Take(request, [&](Uploads::Parts& parts) { parts.creator = creator; });
  }

 private:
  const SwitchBoard board_;
  Uploads uploads_;
  Callee<UniqueIdServiceClient> ids_;
  Callee<UserServiceClient> users_;
  Callee<TextServiceClient> texts_;
  Callee<MediaServiceClient> media_;
  Callee<PostStorageServiceClient> storage_;
  Callee<UserTimelineServiceClient> timelines_;
  Callee<SearchServiceClient> search_;
  WorkQueue queue_;
};

class Web : public WebServiceIf {
 public:
  explicit Web(const Deployment& deployment)
      : home_(deployment, "home-timeline-service"),
        user_(deployment, "user-timeline-service"),
        compose_(deployment, "compose-post-service") {}

  void ReadHome(std::vector<Post>& read, const std::int64_t user, const std::int32_t skip,
                const std::int32_t count) override {
    home_([&](auto& client) { client.Read(read, user, skip, count); });
  }
  void ReadUser(std::vector<Post>& read, const std::int64_t user, const std::int32_t skip,
                const std::int32_t count) override {
    user_([&](auto& client) { client.Read(read, user, skip, count); });
  }
  void Compose(Post& post, const std::int64_t user, const std::string& text,
               const std::vector<Media>& media) override {
    compose_([&](auto& client) { client.Compose(post, user, text, media); });
  }

 private:
  Callee<HomeTimelineServiceClient> home_;
  Callee<UserTimelineServiceClient> user_;
  Callee<ComposePostServiceClient> compose_;
};

}  // namespace

std::shared_ptr<apache::thrift::TProcessor> MakePostService(const std::string& name,
                                                            const Deployment& deployment) {
  if (name == "post-storage-service") {
    return std::make_shared<PostStorageServiceProcessor>(std::make_shared<PostStorage>(deployment));
  }
  if (name == "search-service") {
    return std::make_shared<SearchServiceProcessor>(std::make_shared<Search>(deployment));
  }
  if (name == "compose-post-service") {
    return std::make_shared<ComposePostServiceProcessor>(std::make_shared<ComposePost>(deployment));
  }
  if (name == kEntry) {
    return std::make_shared<WebServiceProcessor>(std::make_shared<Web>(deployment));
  }
  return nullptr;
}

}  // namespace social
