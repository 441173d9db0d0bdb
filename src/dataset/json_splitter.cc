#include "dataset/json_splitter.h"

#include <algorithm>
#include <cstring>

#include "seer/core/internal/status_macros.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Where in 64 bytes stand quotes, backslashes and brackets.
struct Marks {
  std::uint64_t quotes = 0, backslashes = 0, opening = 0, closing = 0;
};

Marks MarksOf(const char* block) {
  Marks marks;
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i bit = _mm_set1_epi8(0x20);  // makes { of [ and } of ]
  const __m128i open = _mm_set1_epi8('{');
  const __m128i close = _mm_set1_epi8('}');
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * i));
    const __m128i folded = _mm_or_si128(bytes, bit);
    const auto bits = [i](__m128i mask) {
      return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(mask))) << (16 * i);
    };
    marks.quotes |= bits(_mm_cmpeq_epi8(bytes, quote));
    marks.backslashes |= bits(_mm_cmpeq_epi8(bytes, backslash));
    marks.opening |= bits(_mm_cmpeq_epi8(folded, open));
    marks.closing |= bits(_mm_cmpeq_epi8(folded, close));
  }
#else
  for (int i = 0; i < 64; ++i) {
    const char c = block[i];
    marks.quotes |= std::uint64_t{c == '"'} << i;
    marks.backslashes |= std::uint64_t{c == '\\'} << i;
    marks.opening |= std::uint64_t{c == '{' || c == '['} << i;
    marks.closing |= std::uint64_t{c == '}' || c == ']'} << i;
  }
#endif
  return marks;
}

// Bit i: whether an odd number of bits up to i are set.
std::uint64_t OddUpTo(std::uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

// Without an instruction for it, which not every processor has.
unsigned CountOf(std::uint64_t bits) {
  bits -= (bits >> 1) & 0x5555555555555555u;
  bits = (bits & 0x3333333333333333u) + ((bits >> 2) & 0x3333333333333333u);
  bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<unsigned>(bits * 0x0101010101010101u >> 56);
}

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace

void JsonSplitter::NextBlock() {
  Marks marks = MarksOf(buffer_.data() + at_);
  if (marks.backslashes != 0 || escaped_) {  // rare
    std::uint64_t escaped = escaped_ ? 1 : 0;
    escaped_ = false;
    for (std::uint64_t left = marks.backslashes; left != 0; left &= left - 1) {
      const int i = __builtin_ctzll(left);
      if (escaped >> i & 1) continue;
      if (i == 63) {
        escaped_ = true;
      } else {
        escaped |= std::uint64_t{2} << i;
      }
    }
    marks.quotes &= ~escaped;
  }
  const std::uint64_t strings = OddUpTo(marks.quotes) ^ in_string_;
  in_string_ = strings >> 63 ? ~std::uint64_t{0} : 0;
  at_ += kBlock;
  opening_ = marks.opening & ~strings;
  brackets_ = opening_ | (marks.closing & ~strings);
  if (depth_ < kDeep || brackets_ == 0) return;
  // Deep enough that the object does not end here: the brackets need only be counted.
  const unsigned opened = CountOf(opening_);
  const unsigned closed = CountOf(brackets_ ^ opening_);
  if (depth_ - kDeep < closed) return;
  depth_ = depth_ + opened - closed;
  brackets_ = 0;
}

absl::Status JsonSplitter::TooLarge() const {
  return Wrong(start_, "an object of more than " + std::to_string(max_bytes_) +
                           " bytes begins here: is it one of this format? Export fewer spans to "
                           "each");
}

absl::Status JsonSplitter::Fill() {
  const std::size_t keep_from = InPiece() ? start_ : at_;
  if (InPiece() && at_ - start_ > max_bytes_) return TooLarge();
  if (keep_from > 0 && keep_from <= size_) {
    std::memmove(buffer_.data(), buffer_.data() + keep_from, size_ - keep_from);
    size_ -= keep_from;
    at_ -= keep_from;
    start_ -= std::min(start_, keep_from);
    offset_ += keep_from;
  }
  if (buffer_.size() < size_ + kChunk + kJsonPadding) {
    buffer_.resize(std::max(buffer_.size() * 2, size_ + kChunk + kJsonPadding));
  }
  SEER_ASSIGN_OR_RETURN(const std::size_t n, file_->Read(buffer_.data() + size_, kChunk));
  size_ += n;
  at_end_ = n == 0;
  std::memset(buffer_.data() + size_, 0, kJsonPadding);
  return absl::OkStatus();
}

bool JsonSplitter::KeyIsBefore(std::size_t at) const {
  const auto skip = [&] {
    while (at > start_ && IsSpace(buffer_[at - 1])) --at;
  };
  skip();
  if (at == start_ || buffer_[at - 1] != ':') return false;
  --at;
  skip();
  const std::size_t length = key_.size() + 2;
  if (at - start_ < length) return false;
  const std::string_view text(buffer_.data() + at - length, length);
  // That quote may be one within a longer key.
  if (at - start_ > length && buffer_[at - length - 1] == '\\') return false;
  return text.front() == '"' && text.back() == '"' && text.substr(1, key_.size()) == key_;
}

absl::StatusOr<bool> JsonSplitter::Bracket(std::size_t at, JsonPiece* piece) {
  const char c = buffer_[at];
  if (depth_ > 0) {
    if (c == '{' || c == '[') {
      if (c == '[' && depth_ == 1 && top_ && KeyIsBefore(at)) {
        list_ = List::kOpen;
        arrays_ = 1;
        depth_ = 0;
        return false;
      }
      ++depth_;
      return false;
    }
    if (--depth_ > 0) return false;
    if (top_ && list_ == List::kOver) {
      list_ = List::kNone;
      return false;
    }
    if (c != '}') return Wrong(at, "']' closes an object: the JSON is broken here");
    if (at + 1 - start_ > max_bytes_) return TooLarge();
    piece->text = std::string_view(buffer_.data() + start_, at + 1 - start_);
    piece->offset = offset_ + start_;
    return true;
  }
  switch (c) {
    case '{':
      depth_ = 1;
      start_ = at;
      top_ = arrays_ == 0;
      return false;
    case '[':
      ++arrays_;
      return false;
    case ']':
      if (arrays_ == 0) break;
      if (--arrays_ == 0 && list_ == List::kOpen) {  // back in the object at the top
        list_ = List::kOver;
        depth_ = 1;
        start_ = at;
        top_ = true;
      }
      return false;
    default:
      break;
  }
  return Wrong(at, std::string("'") + c + "' closes nothing: the JSON is broken before here");
}

absl::StatusOr<bool> JsonSplitter::Next(JsonPiece* piece) {
  for (;;) {
    while (brackets_ != 0) {
      const int bit = __builtin_ctzll(brackets_);
      brackets_ &= brackets_ - 1;
      if (depth_ >= kDeep) {
        depth_ = (opening_ >> bit & 1) != 0 ? depth_ + 1 : depth_ - 1;
        continue;
      }
      const std::size_t at = at_ - kBlock + static_cast<std::size_t>(bit);
      SEER_ASSIGN_OR_RETURN(const bool found, Bracket(at, piece));
      if (found) return true;
    }
    while (!at_end_ && (at_ >= size_ || size_ - at_ < kBlock)) SEER_RETURN_IF_ERROR(Fill());
    if (at_ >= size_) {
      if (depth_ == 0 && arrays_ == 0) return false;
      return Wrong(size_,
                   "the JSON ends within an object or array: it is cut off; export it again");
    }
    // A list that is over, or none: nothing has to be kept while its object is passed over.
    NextBlock();
  }
}

}  // namespace internal
SEER_END_NAMESPACE
