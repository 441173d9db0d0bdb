#include "benchmarks/live/pieces.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace seer::bench {
namespace {

namespace fs = std::filesystem;

constexpr double kBeginSeconds = 25;   // until a run's servers are there, and have gone
constexpr double kLeastShare = 0.98;   // of its seconds that a whole run has
constexpr char kCommit[] = "commit ";  // the first line of a file; then those of the parts

std::size_t ValueOf(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\"" + name + "\":");
  return at == std::string::npos ? at : at + name.size() + 3;
}

// A line each.
std::vector<Part> PartsIn(const std::string& file) {
  std::vector<Part> parts;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.find("\"part\":") != std::string::npos) parts.push_back({line});
  }
  return parts;
}

}  // namespace

double Part::operator[](const std::string& name) const {
  const std::size_t at = ValueOf(text, name);
  if (at == std::string::npos) return 0;
  const char* const number = text.c_str() + at;
  return std::strtod(*number == '[' ? number + 1 : number, nullptr);
}

std::vector<float> Part::List(const std::string& name) const {
  std::vector<float> list;
  const std::size_t at = ValueOf(text, name);
  if (at == std::string::npos || text[at] != '[') return list;
  const char* next = text.c_str() + at;
  while (*next == '[' || *next == ',') {
    char* end = nullptr;
    const float number = std::strtof(++next, &end);
    if (end == next) break;
    list.push_back(number);
    next = end;
  }
  return list;
}

bool Part::is(const std::string& name) const {
  return text.find("\"part\":\"" + name + "\"") != std::string::npos;
}

Pieces::Pieces(PiecesOptions options)
    : options_(std::move(options)), until_(options_.now() + options_.seconds) {
  std::error_code none;
  fs::create_directories(options_.folder, none);
}

std::string Pieces::File(const Piece& piece, const char* end) const {
  return options_.folder + "/" + piece.name + end;
}
std::string Pieces::RecordingOf(const Piece& piece) const { return File(piece, ".seerdata"); }

bool Pieces::Play(const std::vector<Piece>& pieces, std::string* why) {
  for (const Piece& piece : pieces) {
    if (failed_ || IsThere(piece)) continue;
    if (options_.now() + piece.seconds + kBeginSeconds > until_) break;
    const std::string draft = File(piece, ".new");
    std::error_code none;
    // Of one that was killed: a recording would go on behind what is in it.
    fs::remove(RecordingOf(piece), none);
    fs::remove(draft, none);
    const std::string arguments =
        piece.arguments + (piece.records ? kRecord + RecordingOf(piece) : "");
    if (!options_.run(arguments, draft)) {
      failed_ = true;
      break;
    }
    double seconds = 0;
    const std::vector<Part> parts = PartsIn(draft);
    for (const Part& part : parts) seconds += part["hours"] * 3600;
    failed_ = parts.empty() || seconds < kLeastShare * piece.seconds;  // somebody interrupted it
    if (failed_) break;
    {
      std::ofstream out(draft);
      out << kCommit << options_.commit << "\n";
      for (const Part& part : parts) out << part.text << "\n";
    }
    fs::rename(draft, File(piece, ".json"), none);
  }
  const auto there = static_cast<std::size_t>(std::count_if(
      pieces.begin(), pieces.end(), [this](const Piece& piece) { return IsThere(piece); }));
  if (there == pieces.size()) return true;
  *why = std::to_string(there) + " of " + std::to_string(pieces.size()) + " pieces are in " +
         options_.folder +
         (failed_ ? ": the program did not run to its end" : ": run it again, it goes on there");
  return false;
}

std::vector<Part> Pieces::PartsOf(const Piece& piece) const {
  return PartsIn(File(piece, ".json"));
}

std::vector<std::string> Pieces::CommitsOf(const std::vector<Piece>& pieces) const {
  std::vector<std::string> commits;
  for (const Piece& piece : pieces) {
    std::ifstream in(File(piece, ".json"));
    std::string line;
    if (!std::getline(in, line) || line.rfind(kCommit, 0) != 0) continue;
    line.erase(0, sizeof(kCommit) - 1);
    if (std::find(commits.begin(), commits.end(), line) == commits.end()) commits.push_back(line);
  }
  return commits;
}

}  // namespace seer::bench
