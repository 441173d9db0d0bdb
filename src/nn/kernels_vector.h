// A part of kernels_impl.h, included in the middle of its namespaces: not for anybody else.

template <int lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(lanes * 4)));
};
constexpr int kLanes = SEER_NN_LANES;
using Vector = VectorOf<kLanes>::Type;
typedef std::int32_t Integers __attribute__((vector_size(SEER_NN_LANES * 4)));

#define SEER_NN_INLINE __attribute__((always_inline))

template <typename V>
V Load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(v));  // the memory is aligned for a float only
  return v;
}
template <typename V>
void Store(float* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

// A vector of weights: as they are, or of each the upper 16 bits.
SEER_NN_INLINE inline Vector LoadWeights(const float* p) { return Load<Vector>(p); }
SEER_NN_INLINE inline Vector LoadWeights(const std::uint16_t* p) {
  typedef std::uint16_t Halves __attribute__((vector_size(SEER_NN_LANES * 2)));
  typedef std::uint32_t Bits __attribute__((vector_size(SEER_NN_LANES * 4)));
  Halves halves;
  __builtin_memcpy(&halves, p, sizeof(halves));
  const Bits bits = __builtin_convertvector(halves, Bits) << 16;
  Vector v;
  __builtin_memcpy(&v, &bits, sizeof(v));
  return v;
}

// body(0), body(1), ... with numbers that the compiler knows: what an array holds at them then
// stays in registers from its beginning to its end.
template <std::size_t i>
struct Number {
  static constexpr std::size_t value = i;
};
template <typename Body, std::size_t... i>
__attribute__((always_inline)) inline void RepeatOf(const Body& body, std::index_sequence<i...>) {
  (body(Number<i>{}), ...);
}
template <std::size_t count, typename Body>
__attribute__((always_inline)) inline void Repeat(const Body& body) {
  RepeatOf(body, std::make_index_sequence<count>{});
}

inline std::size_t Least(std::size_t a, std::size_t b) { return a < b ? a : b; }
inline Vector Each(float value) { return value - Vector{}; }

// e^x to within 2e-7 of its value, for |x| <= limit <= 87; beyond as if it were that. NaN stays.
inline Vector Exponential(Vector x, float limit = 87.0f) {
  const Vector most = Each(limit), least = Each(-limit);
  x = x > most ? most : x;
  x = x < least ? least : x;
  // To the nearest whole number: it stands in the lowest bits once so large a number is added.
  const Vector shift = Each(12582912.0f);
  const Vector shifted = x * 1.44269504f + shift;
  const Vector whole = shifted - shift;
  Vector r = x - whole * 0.693359375f;
  r = r + whole * 2.12194440e-4f;
  Vector y = Each(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  Integers power;
  __builtin_memcpy(&power, &shifted, sizeof(power));
  power = (power + (127 - 0x4b400000)) << 23;
  Vector scale;
  __builtin_memcpy(&scale, &power, sizeof(scale));
  return y * scale;
}

// 1 / x for 1 <= x <= 2^126, to within the last bit but one.
inline Vector Reciprocal(Vector x) {
#if SEER_NN_LANES == 16
  // A division takes as long as 16 multiplications. The estimate has 14 bits on every processor.
  const Vector r = __builtin_ia32_rcp14ps512_mask(x, Vector{}, static_cast<unsigned short>(0xffff));
  return r + r * (1.0f - x * r);
#else
  return 1.0f / x;
#endif
}

inline Vector ReluOf(Vector x) { return 0.0f > x ? Vector{} : x; }  // NaN stays
inline Vector SigmoidOf(Vector x) { return Reciprocal(Exponential(-x) + 1.0f); }
// 2 sigmoid(2x) - 1: its error is absolute, below 2e-7.
inline Vector TanhOf(Vector x) { return 2.0f * Reciprocal(Exponential(x * -2.0f) + 1.0f) - 1.0f; }
