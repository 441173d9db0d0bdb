// unique-id, media, url-shorten, user-mention and text: what a post is put together from.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ComposePostService.h"
#include "MediaService.h"
#include "TextService.h"
#include "UniqueIdService.h"
#include "UrlShortenService.h"
#include "UserMentionService.h"
#include "clients.h"
#include "refused.h"
#include "seer/trace/context.h"
#include "services.h"
#include "stores.h"

namespace social {
namespace {

constexpr std::size_t kMostTextBytes = 5000;
constexpr std::size_t kMostParts = 20;  // urls, mentions

class UniqueIds : public UniqueIdServiceIf {
 public:
  // Grow with time. Below 2^53, so that redis can keep them as scores: 4096 for each ms.
  std::int64_t Next() override {
    using std::chrono::milliseconds;
    constexpr std::int64_t kSince2020Ms = 1'577'836'800'000;
    const std::int64_t now_ms = std::chrono::duration_cast<milliseconds>(
                                    std::chrono::system_clock::now().time_since_epoch())
                                    .count();
    const std::lock_guard<std::mutex> lock(mutex_);
    last_ = std::max(last_ + 1, (now_ms - kSince2020Ms) << 12);
    return last_;
  }

 private:
  std::mutex mutex_;
  std::int64_t last_ = 0;  // guarded by mutex_
};

class MediaHandler : public MediaServiceIf {
 public:
  explicit MediaHandler(const Deployment& deployment)
      : cache_({deployment, "media-service", "post-memcached"}) {}

  void Attach(const std::vector<Media>& media) override {
    static const std::set<std::string> kinds = {"jpg", "png", "gif", "mp4"};
    if (media.size() > kMostParts) Refuse("media: more than 20");
    for (const Media& one : media) {
      if (kinds.count(one.kind) == 0) Refuse("media: nobody can show a '" + one.kind + "'");
    }
    for (const Media& one : media) cache_.Set("media:" + std::to_string(one.id), one.kind);
  }

 private:
  Cache cache_;
};

class UrlShortener : public UrlShortenServiceIf {
 public:
  explicit UrlShortener(const Deployment& deployment)
      : cache_({deployment, "url-shorten-service", "post-memcached"}),
        database_({deployment, "url-shorten-service", "postgres"}, {"insert-url", "find-url"}) {}

  void Shorten(std::vector<Url>& shortened, const std::vector<std::string>& urls) override {
    for (const std::string& expanded : urls) {
      Url& url = shortened.emplace_back();
      url.expanded = expanded;
      url.shortened = "http://sho.rt/" + NewCode();
      database_.Query("insert-url", "INSERT INTO urls VALUES ($1, $2)",
                      {url.shortened, url.expanded});
      cache_.Set(url.shortened, url.expanded);
    }
  }
  void Expand(std::string& expanded, const std::string& shortened) override {
    // As part of a key it must be short and in one word.
    if (shortened.size() > 100 || shortened.find_first_of(" \r\n\t") != std::string::npos) {
      Refuse("url: not one of ours");
    }
    if (auto cached = cache_.Get(shortened)) {
      expanded = *std::move(cached);
      return;
    }
    const auto rows =
        database_.Query("find-url", "SELECT expanded FROM urls WHERE shortened = $1", {shortened});
    if (rows.empty()) Refuse("url: not one of ours");
    expanded = rows[0][0];
    cache_.Set(shortened, expanded);
  }

 private:
  static std::string NewCode() {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    thread_local std::random_device random;
    std::uniform_int_distribution<std::size_t> letter(0, sizeof letters - 2);
    std::string code;
    for (int i = 0; i < 12; ++i) code += letters[letter(random)];
    return code;
  }

  Cache cache_;
  Database database_;
};

class Mentions : public UserMentionServiceIf {
 public:
  explicit Mentions(const Deployment& deployment)
      : cache_({deployment, "user-mention-service", "user-memcached"}),
        database_({deployment, "user-mention-service", "postgres"}, {"find-users"}) {}

  void Resolve(std::vector<Mention>& mentions, const std::vector<std::string>& names) override {
    std::vector<std::string> keys;
    for (const std::string& name : names) {
      if (IsName(name)) keys.push_back("id-of:" + name);
    }
    std::map<std::string, std::string> ids = cache_.Get(keys);
    std::string unknown;
    for (const std::string& key : keys) {
      if (ids.count(key) == 0) unknown += (unknown.empty() ? "" : ",") + key.substr(6);
    }
    if (!unknown.empty()) {
      for (const Database::Row& row :
           database_.Query("find-users", "SELECT name, id FROM users WHERE name = ANY($1::text[])",
                           {"{" + unknown + "}"})) {
        ids["id-of:" + row[0]] = row[1];
        cache_.Set("id-of:" + row[0], row[1]);
      }
    }
    for (const std::string& key : keys) {
      const auto id = ids.find(key);
      if (id == ids.end()) continue;
      Mention& mention = mentions.emplace_back();
      mention.user = std::stoll(id->second);
      mention.name = key.substr(6);
    }
  }

 private:
  Cache cache_;
  Database database_;
};

class TextHandler : public TextServiceIf {
 public:
  explicit TextHandler(const Deployment& deployment)
      : urls_(deployment, "url-shorten-service"),
        mentions_(deployment, "user-mention-service"),
        compose_(deployment, "compose-post-service") {}

  void ComposeFor(const std::int64_t request, const std::string& text) override {
    Text composed;
    Compose(composed, text);
    compose_([&](auto& client) { client.UploadText(request, composed); });
  }

  void Compose(Text& composed, const std::string& text) override {
    if (text.size() > kMostTextBytes) Refuse("text: longer than 5000 bytes");
    std::vector<std::string> urls, names;
    ForEachWord(text, [&](std::size_t begin, std::size_t end) {
      const std::string word = text.substr(begin, end - begin);
      if (IsUrl(word)) urls.push_back(word);
      if (word[0] == '@') {
        const std::string name = word.substr(1, NameEnd(word) - 1);
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      }
    });
    if (urls.size() > kMostParts || names.size() > kMostParts) {
      Refuse("text: more than 20 urls or mentions");
    }

    // Both at the same time, and both for this request.
    auto shortened = std::async(std::launch::async, seer::Bind([&] {
                                  std::vector<Url> answer;
                                  if (!urls.empty()) {
                                    urls_([&](auto& client) { client.Shorten(answer, urls); });
                                  }
                                  return answer;
                                }));
    if (!names.empty()) {
      mentions_([&](auto& client) { client.Resolve(composed.mentions, names); });
    }
    composed.urls = shortened.get();

    std::size_t written = 0, url = 0;
    ForEachWord(text, [&](std::size_t begin, std::size_t end) {
      if (!IsUrl(text.substr(begin, end - begin))) return;
      composed.text += text.substr(written, begin - written) + composed.urls.at(url++).shortened;
      written = end;
    });
    composed.text += text.substr(written);
  }

 private:
  template <typename Visit>
  static void ForEachWord(const std::string& text, Visit visit) {
    constexpr char kSpaces[] = " \t\r\n";
    for (std::size_t begin = text.find_first_not_of(kSpaces); begin != std::string::npos;) {
      const std::size_t end = std::min(text.find_first_of(kSpaces, begin), text.size());
      visit(begin, end);
      begin = text.find_first_not_of(kSpaces, end);
    }
  }
  static bool IsUrl(const std::string& word) {
    return word.rfind("http://", 0) == 0 || word.rfind("https://", 0) == 0;
  }
  static std::size_t NameEnd(const std::string& word) {
    std::size_t end = 1;
    while (end < word.size() && IsNameLetter(word[end])) ++end;
    return end;
  }

  Callee<UrlShortenServiceClient> urls_;
  Callee<UserMentionServiceClient> mentions_;
  Callee<ComposePostServiceClient> compose_;
};

}  // namespace

std::shared_ptr<apache::thrift::TProcessor> MakeTextService(const std::string& name,
                                                            const Deployment& deployment) {
  if (name == "unique-id-service") {
    return std::make_shared<UniqueIdServiceProcessor>(std::make_shared<UniqueIds>());
  }
  if (name == "media-service") {
    return std::make_shared<MediaServiceProcessor>(std::make_shared<MediaHandler>(deployment));
  }
  if (name == "url-shorten-service") {
    return std::make_shared<UrlShortenServiceProcessor>(std::make_shared<UrlShortener>(deployment));
  }
  if (name == "user-mention-service") {
    return std::make_shared<UserMentionServiceProcessor>(std::make_shared<Mentions>(deployment));
  }
  if (name == "text-service") {
    return std::make_shared<TextServiceProcessor>(std::make_shared<TextHandler>(deployment));
  }
  return nullptr;
}

}  // namespace social
