// What a benchmark of hours is made of: runs of a program, each of which is kept, so that it can be
// made in parts, whenever the machine is idle for a while.
//
//   Pieces pieces({"build/live", "1a2b3c4", 20 * 60, Run, Now});
//   if (pieces.Play(all, &why)) for (const Piece& piece : all) Judge(pieces.PartsOf(piece));
//
// A piece is there when its file is: it is written at the piece's end, and renamed, unless the
// program was interrupted before all its seconds were over. Whoever kills the benchmark loses the
// piece that was under way, and no other.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace seer::bench {

// One part of a run, as the program's --json tells it.
struct Part {
  std::string text;
  // The number of this name, the first one of a list; 0: there is none.
  double operator[](const std::string& name) const;
  std::vector<float> List(const std::string& name) const;
  bool is(const std::string& name) const;
};

struct Piece {
  std::string name;       // of its files
  std::string arguments;  // of the program
  double seconds = 0;     // of load
  bool records = false;   // what was seen, too: Pieces::RecordingOf()
};

struct PiecesOptions {
  std::string folder;  // is made, with those above it
  std::string commit;  // kept with each piece: of what
  double seconds = 0;  // no piece is begun that would end later; about
  // Runs the program, which writes its figures into that file. False: not to its end.
  std::function<bool(const std::string& arguments, const std::string& json)> run;
  std::function<double()> now;  // s
};

class Pieces {
 public:
  // What the program is told besides, by pieces that record.
  static constexpr char kRecord[] = " --record ";

  explicit Pieces(PiecesOptions options);

  // Plays those that are not there, in their order. False: some are still missing, as `why` says.
  bool Play(const std::vector<Piece>& pieces, std::string* why);
  // Whether the program failed, so that the time was not what was missing.
  bool failed() const { return failed_; }

  bool IsThere(const Piece& piece) const { return !PartsOf(piece).empty(); }
  std::vector<Part> PartsOf(const Piece& piece) const;
  std::string RecordingOf(const Piece& piece) const;
  // Of the pieces that are there, each once.
  std::vector<std::string> CommitsOf(const std::vector<Piece>& pieces) const;

 private:
  std::string File(const Piece& piece, const char* end) const;

  const PiecesOptions options_;
  const double until_;
  bool failed_ = false;
};

}  // namespace seer::bench
