#include "dataset/column.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kHeaderBytes = 16;
// Modes: one value for all, one for each row, or one for each row and tick.
constexpr std::uint8_t kConstant = 0, kPerRow = 1, kFull = 2;
// Transforms along the ticks of a row; the first value of a row stands against 0.
constexpr std::uint8_t kPlain = 0, kDelta = 1, kXor = 2;
// Numbers: integers; a float's bits; a float that is integer / scale.
constexpr std::uint8_t kInteger = 0, kFloatBits = 1, kFloatScaled = 2;
constexpr std::uint8_t kRaw = 0, kZstd = 1;

std::uint64_t ZigZag(std::uint64_t delta) {
  return (delta << 1) ^ (0 - (delta >> 63));  // small magnitudes, either sign, become small numbers
}
template <typename U>
U UnZigZag(U coded) {
  return static_cast<U>((coded >> 1) ^ (U{0} - (coded & 1)));
}

unsigned Bits(std::uint64_t value) {
  return value == 0 ? 0 : 64u - static_cast<unsigned>(__builtin_clzll(value));
}

absl::Status Broken(const char* what) {
  return absl::DataLossError(std::string("dataset: a column ") + what +
                             ": the block is damaged, record it again or leave it out");
}

}  // namespace

ColumnEncoder::ColumnEncoder(int level, std::string* out)
    : level_(level), out_(out), zstd_(ZSTD_createCCtx()) {}
ColumnEncoder::~ColumnEncoder() { ZSTD_freeCCtx(zstd_); }

void ColumnEncoder::Integers(Field field, std::uint8_t channel, std::size_t rows, std::size_t ticks,
                             std::vector<std::uint64_t>* values) {
  Write(field, channel, kInteger, 0, rows, ticks, values);
}

void ColumnEncoder::Floats(Field field, std::uint8_t channel, std::size_t rows, std::size_t ticks,
                           const std::vector<float>& values, std::uint32_t period_us) {
  // Depths are whole numbers; means of microseconds are whole numbers of request-microseconds; what
  // people print has three decimals.
  scratch_.resize(values.size());
  std::vector<std::uint64_t> whole(values.size());
  for (const std::uint32_t scale : {std::uint32_t{1}, std::uint32_t{1000}, period_us}) {
    bool exact = true;
    for (std::size_t i = 0; i < values.size() && exact; ++i) {
      const double scaled = double{values[i]} * scale;
      if (!(scaled < 4e9)) {
        exact = false;
        break;
      }
      whole[i] = static_cast<std::uint64_t>(scaled + 0.5);
      const auto back = static_cast<float>(static_cast<double>(whole[i]) / scale);
      exact = std::memcmp(&back, &values[i], sizeof(back)) == 0;
    }
    if (exact) {
      Write(field, channel, kFloatScaled, scale, rows, ticks, &whole);
      return;
    }
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof(bits));
    whole[i] = bits;
  }
  Write(field, channel, kFloatBits, 1, rows, ticks, &whole);
}

void ColumnEncoder::Write(Field field, std::uint8_t channel, std::uint8_t number,
                          std::uint32_t scale, std::size_t rows, std::size_t ticks,
                          std::vector<std::uint64_t>* values) {
  std::vector<std::uint64_t>& v = *values;
  if (v.empty()) return;
  std::uint8_t mode = kConstant;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint64_t first = v[r * ticks];
    if (first != v[0]) mode = std::max(mode, kPerRow);
    for (std::size_t t = 1; t < ticks && mode != kFull; ++t) {
      if (v[r * ticks + t] != first) mode = kFull;
    }
    if (mode == kFull) break;
  }
  std::uint8_t transform = kPlain;
  if (mode == kConstant) {
    if (v[0] == 0) return;
    v.resize(1);
  } else if (mode == kPerRow) {
    for (std::size_t r = 1; r < rows; ++r) v[r] = v[r * ticks];
    v.resize(rows);
  } else {
    // Whichever leaves fewer bits; a rough guess of what zstd makes of it, and a good one.
    scratch_.resize(v.size());
    const bool is_bits = number == kFloatBits;
    std::uint64_t plain_bits = 0, other_bits = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t before = 0;
      for (std::size_t i = r * ticks; i < (r + 1) * ticks; ++i) {
        scratch_[i] = is_bits ? v[i] ^ before : ZigZag(v[i] - before);
        before = v[i];
        plain_bits += Bits(v[i]);
        other_bits += Bits(scratch_[i]);
      }
    }
    if (other_bits < plain_bits) {
      transform = is_bits ? kXor : kDelta;
      v.swap(scratch_);
    }
  }

  std::uint64_t all = 0;
  for (const std::uint64_t value : v) all |= value;
  const unsigned width = std::max(1u, (Bits(all) + 7) / 8);
  planes_.resize(v.size() * width);
  for (unsigned p = 0; p < width; ++p) {
    char* const plane = planes_.data() + p * v.size();
    for (std::size_t i = 0; i < v.size(); ++i) plane[i] = static_cast<char>(v[i] >> (8 * p));
  }
  std::uint8_t compression = kRaw;
  std::string_view payload = planes_;
  if (planes_.size() > 32) {
    packed_.resize(ZSTD_compressBound(planes_.size()));
    const std::size_t size = ZSTD_compressCCtx(zstd_, packed_.data(), packed_.size(),
                                               planes_.data(), planes_.size(), level_);
    if (!ZSTD_isError(size) && size < planes_.size()) {
      compression = kZstd;
      payload = std::string_view(packed_.data(), size);
    }
  }
  char header[kHeaderBytes] = {static_cast<char>(field),      static_cast<char>(channel),
                               static_cast<char>(mode),       static_cast<char>(transform),
                               static_cast<char>(number),     static_cast<char>(width),
                               static_cast<char>(compression)};
  const auto payload_bytes = static_cast<std::uint32_t>(payload.size());
  std::memcpy(header + 8, &scale, sizeof(scale));
  std::memcpy(header + 12, &payload_bytes, sizeof(payload_bytes));
  out_->append(header, kHeaderBytes);
  out_->append(payload.data(), payload.size());
}

absl::Status NextColumn(std::string_view* bytes, ColumnView* column) {
  if (bytes->size() < kHeaderBytes) return Broken("is cut off");
  const char* const at = bytes->data();
  const auto byte = [at](int i) { return static_cast<std::uint8_t>(at[i]); };
  column->field = static_cast<Field>(byte(0));
  column->channel = byte(1);
  column->mode = byte(2);
  column->transform = byte(3);
  column->number = byte(4);
  column->width = byte(5);
  column->compression = byte(6);
  std::memcpy(&column->scale, at + 8, sizeof(column->scale));
  std::uint32_t payload;
  std::memcpy(&payload, at + 12, sizeof(payload));
  if (payload > bytes->size() - kHeaderBytes) return Broken("is longer than its block");
  column->payload = bytes->substr(kHeaderBytes, payload);
  bytes->remove_prefix(kHeaderBytes + payload);
  return absl::OkStatus();
}

ColumnDecoder::ColumnDecoder() : zstd_(ZSTD_createDCtx()) {}
ColumnDecoder::~ColumnDecoder() { ZSTD_freeDCtx(zstd_); }

absl::Status ColumnDecoder::Unpack(const ColumnView& column, std::size_t count,
                                   std::string_view* planes) {
  const std::size_t bytes = count * column.width;
  if (column.compression == kRaw) {
    if (column.payload.size() != bytes) return Broken("has another size than its block says");
    *planes = column.payload;
    return absl::OkStatus();
  }
  if (column.compression != kZstd) return Broken("is packed in an unknown way");
  // Nothing is made room for before the frame says that it holds as much.
  if (ZSTD_getFrameContentSize(column.payload.data(), column.payload.size()) != bytes) {
    return Broken("has another size than its block says");
  }
  scratch_.resize(bytes);
  const std::size_t size = ZSTD_decompressDCtx(zstd_, scratch_.data(), bytes, column.payload.data(),
                                               column.payload.size());
  if (ZSTD_isError(size) || size != bytes) return Broken("cannot be unpacked");
  *planes = scratch_;
  return absl::OkStatus();
}

namespace {

// So many values are turned at once: what they need stays in the first cache. Each step is a loop
// without a branch, which the compiler makes wide.
constexpr std::size_t kStep = 1024;

// values[i] of count out of the planes, from the first-th on.
template <typename U>
void Gather(const unsigned char* planes, std::size_t count, unsigned width, std::size_t first,
            std::size_t n, U* values) {
  const unsigned char* plane = planes + first;
  for (std::size_t i = 0; i < n; ++i) values[i] = plane[i];
  for (unsigned p = 1; p < width; ++p) {
    plane += count;
    const unsigned shift = 8 * p;
    for (std::size_t i = 0; i < n; ++i) {
      values[i] = static_cast<U>(values[i] | static_cast<U>(U{plane[i]} << shift));
    }
  }
}

#if defined(__SSE2__)
// Sums of zigzag differences, four at a time; returns how many. Compilers leave such a loop as it
// is.
std::size_t SumFours(std::size_t n, std::uint32_t* values, std::uint32_t* before) {
  __m128i sum = _mm_set1_epi32(static_cast<int>(*before));
  const __m128i one = _mm_set1_epi32(1);
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    auto* const at = reinterpret_cast<__m128i*>(values + i);
    const __m128i coded = _mm_loadu_si128(at);
    const __m128i negative = _mm_sub_epi32(_mm_setzero_si128(), _mm_and_si128(coded, one));
    __m128i each = _mm_xor_si128(_mm_srli_epi32(coded, 1), negative);
    each = _mm_add_epi32(each, _mm_slli_si128(each, 4));
    each = _mm_add_epi32(each, _mm_slli_si128(each, 8));
    sum = _mm_add_epi32(each, sum);
    _mm_storeu_si128(at, sum);
    sum = _mm_shuffle_epi32(sum, 0xff);  // the last of them, four times
  }
  *before = static_cast<std::uint32_t>(_mm_cvtsi128_si32(sum));
  return i;
}
#endif

// Undoes the transform; returns the last value, for the next step of the row. `bits` becomes those
// that any value has.
template <typename U>
U Undo(std::uint8_t transform, U before, std::size_t n, U* values, U* bits) {
  U all = 0;
  if (transform == kDelta) {
    std::size_t i = 0;
#if defined(__SSE2__)
    if constexpr (sizeof(U) == 4) i = SumFours(n, values, &before);
#endif
    for (; i < n; ++i) {
      before = static_cast<U>(before + UnZigZag(values[i]));
      values[i] = before;
    }
  } else if (transform == kXor) {
    for (std::size_t i = 0; i < n; ++i) {
      before ^= values[i];
      values[i] = before;
    }
  }
  for (std::size_t i = 0; i < n; ++i) all |= values[i];
  *bits |= all;
  return before;
}

template <typename U>
void ToFloats(const ColumnView& column, const U* values, std::size_t n, U bits, float* out) {
  if (column.number == kFloatBits) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto raw = static_cast<std::uint32_t>(values[i]);
      std::memcpy(&out[i], &raw, sizeof(raw));
    }
    return;
  }
  // Rounded as the double would be, which holds 32 bits exactly.
  const double scale = column.scale;
  if (bits < (U{1} << 31)) {  // signed numbers are faster
    if (column.scale == 1) {
      for (std::size_t i = 0; i < n; ++i) {
        out[i] = static_cast<float>(static_cast<std::int32_t>(values[i]));
      }
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        out[i] =
            static_cast<float>(static_cast<double>(static_cast<std::int32_t>(values[i])) / scale);
      }
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = static_cast<float>(static_cast<double>(values[i]) / scale);
    }
  }
}

// Sums and shifts in U, then turns each number into T. False for a number that T does not hold.
template <typename U, typename T>
bool Convert(const ColumnView& column, const unsigned char* planes, std::size_t rows,
             std::size_t ticks, T* out) {
  const std::size_t count = rows * ticks;
  if (column.transform == kPlain) {  // then a row need not begin by itself
    ticks = count;
    rows = 1;
  }
  U values[kStep];
  U excess = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    U before = 0;
    for (std::size_t done = 0; done < ticks; done += kStep) {
      const std::size_t n = std::min(kStep, ticks - done);
      const std::size_t first = r * ticks + done;
      U bits = 0;
      Gather(planes, count, column.width, first, n, values);
      before = Undo(column.transform, before, n, values, &bits);
      if constexpr (std::is_same_v<T, float>) {
        ToFloats(column, values, n, bits, out + first);
      } else {
        excess |= static_cast<U>(bits & ~static_cast<U>(std::numeric_limits<T>::max()));
        for (std::size_t i = 0; i < n; ++i) out[first + i] = static_cast<T>(values[i]);
      }
    }
  }
  return excess == 0;
}

}  // namespace

template <typename T>
absl::Status ColumnDecoder::Decode(const ColumnView& column, std::size_t rows, std::size_t ticks,
                                   std::vector<T>* values) {
  constexpr bool kIsFloat = std::is_same_v<T, float>;
  constexpr unsigned kMaxWidth = sizeof(T) == 8 ? 8 : 5;  // a zigzag of 32 bits may need 33
  if (kIsFloat == (column.number == kInteger) || column.number > kFloatScaled ||
      column.transform > kXor || column.width == 0 || column.width > kMaxWidth ||
      (column.number == kFloatScaled && column.scale == 0)) {
    return Broken("is of an unknown kind");
  }
  std::size_t stored_rows = rows, stored_ticks = ticks;
  if (column.mode == kConstant) {
    stored_rows = stored_ticks = 1;
  } else if (column.mode == kPerRow) {
    stored_ticks = 1;
  } else if (column.mode != kFull) {
    return Broken("is of an unknown kind");
  }
  std::string_view planes;
  if (absl::Status status = Unpack(column, stored_rows * stored_ticks, &planes); !status.ok()) {
    return status;
  }
  values->resize(rows * ticks);
  if (rows * ticks == 0) return absl::OkStatus();
  const auto* const bytes = reinterpret_cast<const unsigned char*>(planes.data());
  // 32 bits are faster, and enough unless a width of more says otherwise.
  const bool narrow = sizeof(T) < 8 && column.width <= 4;
  const bool fits =
      narrow ? Convert<std::uint32_t>(column, bytes, stored_rows, stored_ticks, values->data())
             : Convert<std::uint64_t>(column, bytes, stored_rows, stored_ticks, values->data());
  if (!fits) return Broken("holds a number that is too large");
  if (column.mode == kConstant) {
    std::fill(values->begin(), values->end(), values->front());
  } else if (column.mode == kPerRow) {
    for (std::size_t r = rows; r-- > 0;) {
      std::fill_n(values->begin() + static_cast<std::ptrdiff_t>(r * ticks), ticks, (*values)[r]);
    }
  }
  return absl::OkStatus();
}

template absl::Status ColumnDecoder::Decode(const ColumnView&, std::size_t, std::size_t,
                                            std::vector<float>*);
template absl::Status ColumnDecoder::Decode(const ColumnView&, std::size_t, std::size_t,
                                            std::vector<std::uint8_t>*);
template absl::Status ColumnDecoder::Decode(const ColumnView&, std::size_t, std::size_t,
                                            std::vector<std::uint32_t>*);
template absl::Status ColumnDecoder::Decode(const ColumnView&, std::size_t, std::size_t,
                                            std::vector<std::uint64_t>*);

}  // namespace internal
SEER_END_NAMESPACE
