// The interfaces of the social network's services. Ids of users and posts grow with time: the newest
// post has the largest.
namespace cpp social

struct Creator {
  1: i64 user
  2: string name
}
struct Media {
  1: i64 id
  2: string kind  // jpg, png, gif, mp4
}
struct Mention {
  1: i64 user
  2: string name
}
struct Url {
  1: string shortened
  2: string expanded
}
// A text with its urls shortened, and what is in it.
struct Text {
  1: string text
  2: list<Mention> mentions
  3: list<Url> urls
}
struct Post {
  1: i64 id
  2: Creator creator
  3: string text
  4: list<Mention> mentions
  5: list<Url> urls
  6: list<Media> media
  7: i64 created_ms  // unix time
}

// The request makes no sense, or what it asks for is not there.
exception Refused {
  1: string why
}

service UniqueIdService {
  i64 Next()
}
service MediaService {
  // Remembers the media of a post. Refused: a kind that nobody can show.
  void Attach(1: list<Media> media) throws (1: Refused refused)
}
service UrlShortenService {
  list<Url> Shorten(1: list<string> urls)
  string Expand(1: string shortened) throws (1: Refused refused)
}
service UserMentionService {
  // Of those names that are users'.
  list<Mention> Resolve(1: list<string> names)
}
service TextService {
  Text Compose(1: string text) throws (1: Refused refused)
  // The same, and compose-post has it uploaded.
  void ComposeFor(1: i64 request, 2: string text) throws (1: Refused refused)
}
service UserService {
  i64 Register(1: string name, 2: string password) throws (1: Refused refused)
  i64 Login(1: string name, 2: string password) throws (1: Refused refused)
  Creator CreatorOf(1: i64 user) throws (1: Refused refused)
  void CreatorFor(1: i64 request, 2: i64 user) throws (1: Refused refused)
}
service SocialGraphService {
  void Follow(1: i64 user, 2: i64 whom) throws (1: Refused refused)
  void Unfollow(1: i64 user, 2: i64 whom)
  list<i64> Followers(1: i64 user)
  list<i64> Followed(1: i64 user)
}
service PostStorageService {
  void Store(1: Post post)
  // In the order of the ids; those that are not there are left out.
  list<Post> Read(1: list<i64> posts)
}
service UserTimelineService {
  void Write(1: i64 user, 2: i64 post)
  // The newest first: `count` of them, after the first `skip`.
  list<Post> Read(1: i64 user, 2: i32 skip, 3: i32 count)
}
service HomeTimelineService {
  list<Post> Read(1: i64 user, 2: i32 skip, 3: i32 count)
}
service SearchService {
  void Index(1: i64 post, 2: string text)
  // Posts with all the words, the newest first.
  list<Post> Find(1: string words, 2: i32 count)
}
service ComposePostService {
  Post Compose(1: i64 user, 2: string text, 3: list<Media> media) throws (1: Refused refused)
  // Parts of a post that is being composed: in the protocol with a cycle, the services that made
  // them call back, while whoever composes waits for them.
  void UploadText(1: i64 request, 2: Text text)
  void UploadCreator(1: i64 request, 2: Creator creator)
}
// Where the requests of users come in, over HTTP.
service WebService {
  list<Post> ReadHome(1: i64 user, 2: i32 skip, 3: i32 count)
  list<Post> ReadUser(1: i64 user, 2: i32 skip, 3: i32 count)
  Post Compose(1: i64 user, 2: string text, 3: list<Media> media) throws (1: Refused refused)
}
