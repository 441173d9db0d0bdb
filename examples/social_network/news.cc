#include "news.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace social {

const std::string& News::word(std::size_t i) const {
  static const std::string none;
  return i < words.size() ? words[i] : none;
}

double News::number(std::size_t i) const { return std::strtod(word(i).c_str(), nullptr); }

std::string EncodeNews(const News& news) {
  std::string line = news.kind + "\t" + std::to_string(news.at_ns);
  for (std::string word : news.words) {
    for (char& letter : word) {
      if (letter == '\t' || letter == '\n' || letter == '\r') letter = ' ';
    }
    line += "\t" + word;
  }
  return line + "\n";
}

News DecodeNews(const std::string& line) {
  News news;
  std::istringstream words(line);
  std::string at;
  if (!std::getline(words, news.kind, '\t') || !std::getline(words, at, '\t')) return News();
  news.at_ns = std::strtoll(at.c_str(), nullptr, 10);
  for (std::string word; std::getline(words, word, '\t');) news.words.push_back(word);
  return news;
}

NewsWriter::NewsWriter(const std::string& path)
    : file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {}

NewsWriter::~NewsWriter() {
  if (file_ >= 0) close(file_);
}

void NewsWriter::Write(const News& news) {
  const std::string line = EncodeNews(news);
  // Whole lines in one write. A disk that is full costs news, nothing else.
  [[maybe_unused]] const ssize_t written = write(file_, line.data(), line.size());
}

std::vector<News> NewsReader::Read() {
  std::vector<News> news;
  std::ifstream file(path_, std::ios::binary);
  if (!file.seekg(read_)) return news;
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  read_ += static_cast<std::int64_t>(bytes.size());
  rest_ += bytes;
  std::size_t begin = 0;
  for (std::size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    News one = DecodeNews(rest_.substr(begin, end - begin));
    if (!one.kind.empty()) news.push_back(std::move(one));
  }
  rest_.erase(0, begin);
  return news;
}

}  // namespace social
