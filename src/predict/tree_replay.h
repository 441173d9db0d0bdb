// What retraining of trees remembers: rows to learn from, and whole stretches of time to judge by.
// Private to the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/types/span.h"
#include "predict/tree_intake.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/nn/counter_rng.h"
#include "seer/predict/boosted_trees.h"
#include "seer/predict/replay_buffer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Rows in bounded memory: half of it for those ahead of violations, a quarter each for those in
// which something stirs and for the quiet ones. Of whoever has more than its share, rows of
// versions of the application before the last `versions` go first, then any, by chance.
class TreeReplay {
 public:
  explicit TreeReplay(const ReplayOptions& options)
      : options_(options), rng_(options.seed, CounterRng::StreamOf("tree replay")) {}

  // Of quiet ones only every twentieth is kept, of stirring ones every second: those that are count
  // as many.
  void Add(TreeLook look);
  std::size_t looks() const;
  std::size_t ahead() const { return groups_[kAhead].looks.size(); }
  std::size_t bytes() const { return bytes_; }
  std::size_t AheadSince(std::int64_t from_ns) const;
  std::uint64_t newest_version() const { return newest_version_; }
  // All of it, saved or loaded; loading, into one without looks.
  void State(StateIo& io);

  // To learn from: at most about `most` of those that came after `from_ns`, drawn by chance; half
  // of them of those after `fresh_ns`, if there are so many. Without labels of both kinds none.
  TreeRows Rows(absl::Span<const std::int64_t> horizons_ns, std::size_t most, std::int64_t from_ns,
                std::int64_t fresh_ns, std::uint64_t seed) const;
  TreeRows Blames(std::size_t most, std::int64_t from_ns, std::int64_t fresh_ns,
                  std::uint64_t seed) const;

 private:
  enum Group : std::size_t { kStill, kStirring, kAhead, kGroups };
  struct Kept {
    std::vector<TreeLook> looks;
    std::vector<std::int64_t> ends_ns;  // of the looks, which are far apart in memory
    std::size_t bytes = 0;
    std::uint64_t seen = 0;
    double came = 0;  // of which these are a sample
  };
  void MakeRoom();

  ReplayOptions options_;
  CounterRng rng_;
  std::uint64_t drawn_ = 0, newest_version_ = 0;
  std::array<Kept, kGroups> groups_;
  std::size_t bytes_ = 0;
};

// What trees say of a track: log-odds by look and output, and of each candidate of each look of
// which it is known who is to blame.
struct TreeSaid {
  std::size_t looks = 0;  // from the first one on
  std::vector<float> scores, blames;
};

// All that was seen in some blocks of time, as the predictor saw it; the oldest goes first. Beside
// it stands what the model that serves says of it, and the one before: trees that are added to them
// are judged by what they add.
class TreeHeldBack {
 public:
  enum Teller : std::size_t { kServing, kBefore, kTellers };
  // One class in one block.
  struct Track {
    std::int64_t block = 0;
    std::uint32_t request_class = 0;
    std::vector<TreeLook> looks;
    std::size_t bytes = 0, violations = 0;  // that start in it
    std::array<TreeSaid, kTellers> said;
  };

  TreeHeldBack(std::size_t bytes, std::int64_t block_ns) : most_(bytes), block_ns_(block_ns) {}
  void Add(TreeLook look);
  std::size_t looks() const { return looks_; }
  std::size_t ahead() const { return ahead_; }
  // Violations that start after that.
  std::size_t Violations(std::int64_t from_ns) const;
  // The newest blocks that begin after that, oldest first: so many that there are `violations` in
  // them, or that it costs enough, if `fewest` are. Until the next Add().
  std::vector<Track*> Recent(std::int64_t from_ns, std::size_t violations, std::size_t fewest);
  // What one of them says is not known any more; what serves is what is kept as the one before.
  void Forget(Teller teller);
  // But for what was said of it; loading, into one without looks.
  void State(StateIo& io);
  void ServingIsBefore();

 private:
  void Leave(const Track& track);  // it goes

  std::size_t most_;
  std::int64_t block_ns_;
  std::deque<Track> tracks_;  // by block
  std::size_t bytes_ = 0, looks_ = 0, ahead_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
