// Columns: a matrix of numbers, one row for each service, one value for each tick, as few bytes.
// What they look like: include/seer/dataset/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

SEER_BEGIN_NAMESPACE
namespace internal {

// What a column is of. The numbers are part of the format.
enum class Field : std::uint8_t {
  kTick = 1,  // less the record's first tick
  kVersion = 2,
  kNodesSeen = 3,
  kNodesExpected = 4,
  kServices = 5,
  kEdges = 6,
  kClasses = 7,
  kDepth = 16,  // these with a channel; kEdgeChannel for edges
  kMean = 17,
  kWait = 18,
  kArrivals = 19,
  kDepartures = 20,
  kKnown = 21,
  kSeen = 32,  // of classes
  kCount = 33,
  kOver = 34,
  kOldest = 35,
  kP50 = 36,
  kP99 = 37,
  kBuckets = 38,
  kBucketIndex = 39,
  kBucketCount = 40,
};
inline constexpr std::uint8_t kEdgeChannel = 0xff;
inline constexpr std::uint8_t kOutstandingChannel = 0xfe;  // of services as a whole; since 1.1

class ColumnEncoder {
 public:
  ColumnEncoder(int level, std::string* out);
  ~ColumnEncoder();

  // Adds the column unless all of it is zero. `values` holds rows x ticks; it is used up.
  void Integers(Field field, std::uint8_t channel, std::size_t rows, std::size_t ticks,
                std::vector<std::uint64_t>* values);
  // Finite values. `period_us`: means are often whole numbers of request-microseconds divided by
  // it.
  void Floats(Field field, std::uint8_t channel, std::size_t rows, std::size_t ticks,
              const std::vector<float>& values, std::uint32_t period_us);

 private:
  void Write(Field field, std::uint8_t channel, std::uint8_t number, std::uint32_t scale,
             std::size_t rows, std::size_t ticks, std::vector<std::uint64_t>* values);

  const int level_;
  std::string* const out_;
  ZSTD_CCtx_s* zstd_;
  std::vector<std::uint64_t> scratch_;
  std::string planes_, packed_;
};

// One column as it stands in the bytes.
struct ColumnView {
  Field field;
  std::uint8_t channel;
  std::uint8_t mode, transform, number, width, compression;
  std::uint32_t scale;
  std::string_view payload;
};

// Takes the next column off the front. DataLoss where there is no sound one.
absl::Status NextColumn(std::string_view* bytes, ColumnView* column);

class ColumnDecoder {
 public:
  ColumnDecoder();
  ~ColumnDecoder();

  // T: float, uint8_t, uint32_t or uint64_t. DataLoss unless the column holds rows x ticks values
  // that fit T.
  template <typename T>
  absl::Status Decode(const ColumnView& column, std::size_t rows, std::size_t ticks,
                      std::vector<T>* values);

 private:
  absl::Status Unpack(const ColumnView& column, std::size_t count, std::string_view* planes);
  ZSTD_DCtx_s* zstd_;
  std::string scratch_;
};

}  // namespace internal
SEER_END_NAMESPACE
