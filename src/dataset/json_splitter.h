// Cuts a stream of JSON into the objects that are worth parsing, so that memory does not depend on
// the size of the input.
//
//   JsonSplitter splitter(&file, "data", max_bytes);
//   JsonPiece piece;
//   while (*splitter.Next(&piece)) Parse(piece.text);
//
// The objects are: those in the array `key` of an object at the top ({"data": [object, ...]}); an
// object at the top without that array; those in an array at the top, also in arrays within it. So
// one document, one a line, and bare arrays all work. Only brackets and strings are looked at: what
// is wrong inside an object the parser finds.
//
// Cost: about 5 GB/s: 64 bytes at a time; only brackets near the top are looked at one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataset/input.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct JsonPiece {
  std::string_view text;     // followed by at least kJsonPadding bytes that may be read
  std::uint64_t offset = 0;  // in the unpacked input
};

inline constexpr std::size_t kJsonPadding = 64;

class JsonSplitter {
 public:
  JsonSplitter(InputFile* file, std::string_view key, std::size_t max_bytes)
      : file_(file), key_(key), max_bytes_(max_bytes) {}

  // The next object; false at the end. Valid until the next call.
  absl::StatusOr<bool> Next(JsonPiece* piece);

 private:
  static constexpr std::size_t kChunk = std::size_t{1} << 18;
  static constexpr std::size_t kBlock = 64;
  // From this depth on a bracket is neither the object's end nor that of its list.
  static constexpr std::size_t kDeep = 2;
  // What becomes of the array `key` of an object at the top.
  enum class List { kNone, kOpen, kOver };

  absl::Status Fill();
  absl::Status TooLarge() const;
  // Finds the brackets of the block at at_, and steps over it.
  void NextBlock();
  // True where the object is complete.
  absl::StatusOr<bool> Bracket(std::size_t at, JsonPiece* piece);
  bool KeyIsBefore(std::size_t at) const;
  // Whether bytes from start_ on have to be kept.
  bool InPiece() const { return depth_ > 0 && list_ != List::kOver; }
  absl::Status Wrong(std::size_t at, std::string_view what) const {
    return ByteError(file_->path(), offset_ + at, what);
  }

  InputFile* const file_;
  const std::string key_;
  const std::size_t max_bytes_;

  std::vector<char> buffer_;  // size_ bytes, then kJsonPadding zeros
  std::uint64_t offset_ = 0;  // of buffer_[0] in the input
  std::size_t size_ = 0;
  std::size_t at_ = 0;  // the next block to look at
  bool at_end_ = false;
  std::uint64_t brackets_ = 0;   // of the block before at_: those not yet handled
  std::uint64_t opening_ = 0;    // of the same block: which of them open
  std::uint64_t in_string_ = 0;  // all ones: at_ lies in a string
  bool escaped_ = false;         // the byte at at_ follows an open backslash

  std::size_t arrays_ = 0;  // open around the object, or around where the next one would stand
  std::size_t depth_ = 0;   // of brackets within the object, itself included; 0: there is none
  std::size_t start_ = 0;   // of the object
  bool top_ = false;        // the object stands at the top
  List list_ = List::kNone;
};

}  // namespace internal
SEER_END_NAMESPACE
