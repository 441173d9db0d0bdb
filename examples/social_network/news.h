// What the control plane tells the people at the terminal: lines of words in a file, that outlives
// it and that several of its lives write.
//
//   queues   <service>=<calls outstanding>,<queued>,<self depth> ...     every tick
//   calls    <caller>=<callee> ...                                        when they have changed
//   alarm    <request class> <blamed> <share>       when it begins, and every 2 s while it lasts
//   cause    <request class> <culprit> <cause> <confidence> <what it rests on>
//   action   <id> <service> <action> <from> <to> <cause>
//   outcome  <id> <service> <outcome> <before> <after> <detail>
//   judged   <helped or did-not-help>
//   trace    <a slow request, as spans.h says>
//   learnt   <what was tried> <version of the model> <"better", or why not>
//   spent    <what its agent and itself have used of the processor since they began, in us>
//   began    <name of the predictor> <acts or watches>
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace social {

struct News {
  std::string kind;
  std::int64_t at_ns = 0;  // unix time
  std::vector<std::string> words;

  const std::string& word(std::size_t i) const;  // "" where there are fewer
  double number(std::size_t i) const;
};

// Tabs and ends of lines in words become blanks.
std::string EncodeNews(const News& news);
// Kind empty: it is none.
News DecodeNews(const std::string& line);

class NewsWriter {
 public:
  explicit NewsWriter(const std::string& path);
  ~NewsWriter();
  NewsWriter(const NewsWriter&) = delete;
  NewsWriter& operator=(const NewsWriter&) = delete;

  void Write(const News& news);

 private:
  int file_ = -1;
};

class NewsReader {
 public:
  explicit NewsReader(std::string path) : path_(std::move(path)) {}

  // What was written since the last time.
  std::vector<News> Read();

 private:
  const std::string path_;
  std::int64_t read_ = 0;
  std::string rest_;  // of a line that is not whole yet
};

}  // namespace social
