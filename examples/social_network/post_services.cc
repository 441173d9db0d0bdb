// compose-post, post-storage and search.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <thrift/transport/TBufferTransports.h>

#include "ComposePostService.h"
#include "MediaService.h"
#include "PostStorageService.h"
#include "SearchService.h"
#include "TextService.h"
#include "UniqueIdService.h"
#include "UserService.h"
#include "UserTimelineService.h"
#include "clients.h"
#include "fan_out.h"
#include "refused.h"
#include "seer/trace/context.h"
#include "services.h"
#include "stores.h"

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

class ComposePost : public ComposePostServiceIf {
 public:
  explicit ComposePost(const Deployment& deployment)
      : ids_(deployment, "unique-id-service"),
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
    auto composed = Async([&] {
      Text answer;
      texts_([&](auto& client) { client.Compose(answer, text); });
      return answer;
    });
    auto attached = Async([&] {
      if (!media.empty()) media_([&](auto& client) { client.Attach(media); });
    });
    users_([&](auto& client) { client.CreatorOf(post.creator, user); });
    attached.get();
    Text parts = composed.get();
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

 private:
  Callee<UniqueIdServiceClient> ids_;
  Callee<UserServiceClient> users_;
  Callee<TextServiceClient> texts_;
  Callee<MediaServiceClient> media_;
  Callee<PostStorageServiceClient> storage_;
  Callee<UserTimelineServiceClient> timelines_;
  Callee<SearchServiceClient> search_;
  WorkQueue queue_;
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
  return nullptr;
}

}  // namespace social
