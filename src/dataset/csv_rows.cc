#include "dataset/csv_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataset/digits.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::array<std::uint8_t, 256> HexDigits() {
  std::array<std::uint8_t, 256> digits = {};
  for (std::uint8_t& digit : digits) digit = 0xff;
  for (int i = 0; i < 10; ++i)
    digits[static_cast<std::size_t>('0' + i)] = static_cast<std::uint8_t>(i);
  for (int i = 0; i < 6; ++i) {
    digits[static_cast<std::size_t>('a' + i)] = static_cast<std::uint8_t>(10 + i);
    digits[static_cast<std::size_t>('A' + i)] = static_cast<std::uint8_t>(10 + i);
  }
  return digits;
}

// Bit i: whether text[i] is a comma, a quote or the end of a line.
std::uint64_t MarksOf(const char* text) {
  std::uint64_t marks = 0;
#if defined(__SSE2__)
  const __m128i comma = _mm_set1_epi8(',');
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i end = _mm_set1_epi8('\n');
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + 16 * i));
    const __m128i found =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, comma), _mm_cmpeq_epi8(bytes, quote)),
                     _mm_cmpeq_epi8(bytes, end));
    marks |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(found)))
             << (16 * i);
  }
#else
  for (int i = 0; i < 64; ++i) {
    marks |= std::uint64_t{text[i] == ',' || text[i] == '"' || text[i] == '\n'} << i;
  }
#endif
  return marks;
}

}  // namespace

bool ParseHex(const char* at, std::size_t size, std::uint64_t* value) {
  static constexpr std::array<std::uint8_t, 256> kDigits = HexDigits();
  if (size > 16) return false;
  std::uint64_t sum = 0;
  unsigned wrong = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const unsigned digit = kDigits[static_cast<unsigned char>(at[i])];
    wrong |= digit;
    sum = sum << 4 | digit;
  }
  *value = sum;
  return wrong < 16;
}

// Keeps the line that is not whole, and reads on behind it.
bool CsvRows::Fill() {
  if (at_end_ || !status_.ok()) return false;
  if (size_ - next_start_ >= LineReader::kMaxLine) {
    status_ = LineError(file_->path(), number_ + 1, {}, "is longer than 1 MiB: is it a CSV file?");
    return false;
  }
  // Empty in the beginning, and memmove of nothing wants no null pointer.
  if (size_ > 0) std::memmove(buffer_.data(), buffer_.data() + next_start_, size_ - next_start_);
  size_ -= next_start_;
  next_start_ = 0;
  if (buffer_.size() < size_ + kChunk + 1 + kBlock) {
    buffer_.resize(std::max(buffer_.size() * 2, size_ + kChunk + 1 + kBlock));
    marks_.resize(buffer_.size());
  }
  const absl::StatusOr<std::size_t> got = file_->Read(buffer_.data() + size_, kChunk);
  if (!got.ok()) {
    status_ = got.status();
    return false;
  }
  at_end_ = *got == 0;
  size_ += *got;
  // The last line need not have an end.
  if (at_end_ && size_ > 0 && buffer_[size_ - 1] != '\n') buffer_[size_++] = '\n';
  std::memset(buffer_.data() + size_, 0, kBlock);

  next_mark_ = 0;
  std::uint32_t* to = marks_.data();
  for (std::size_t block = 0; block < size_; block += kBlock) {
    for (std::uint64_t marks = MarksOf(buffer_.data() + block); marks != 0; marks &= marks - 1) {
      *to++ =
          static_cast<std::uint32_t>(block) + static_cast<std::uint32_t>(__builtin_ctzll(marks));
    }
  }
  mark_count_ = static_cast<std::size_t>(to - marks_.data());
  return size_ > 0;
}

}  // namespace internal
SEER_END_NAMESPACE
