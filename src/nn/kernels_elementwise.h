// A part of kernels_impl.h, included in the middle of its namespaces: not for anybody else.

void Activate(KernelActivation activation, std::size_t n, float* x) {
  if (activation == KernelActivation::kNone) return;
  const auto value = [&](Vector v) {
    if (activation == KernelActivation::kRelu) return ReluOf(v);
    return activation == KernelActivation::kSigmoid ? SigmoidOf(v) : TanhOf(v);
  };
  std::size_t i = 0;
  for (; i + kWide <= n; i += kWide) Store(x + i, value(Load<Vector>(x + i)));
  if (i == n) return;
  float rest[kWide] = {};
  for (std::size_t j = i; j < n; ++j) rest[j - i] = x[j];
  Store(rest, value(Load<Vector>(rest)));
  for (std::size_t j = i; j < n; ++j) x[j] = rest[j - i];
}

void ActivateBackward(KernelActivation activation, std::size_t n, const float* y, float* d) {
  switch (activation) {
    case KernelActivation::kNone:
      break;
    case KernelActivation::kRelu:
      for (std::size_t i = 0; i < n; ++i) d[i] = y[i] > 0 ? d[i] : 0.0f;
      break;
    case KernelActivation::kSigmoid:
      for (std::size_t i = 0; i < n; ++i) d[i] *= y[i] * (1.0f - y[i]);
      break;
    case KernelActivation::kTanh:
      for (std::size_t i = 0; i < n; ++i) d[i] *= 1.0f - y[i] * y[i];
      break;
  }
}

// The first `count` values of a vector.
inline Vector LoadSome(const float* p, std::size_t count) {
  if (count == kWide) return Load<Vector>(p);
  float some[kWide] = {};
  for (std::size_t i = 0; i < count; ++i) some[i] = p[i];
  return Load<Vector>(some);
}
inline void StoreSome(float* p, const Vector& v, std::size_t count) {
  if (count == kWide) return Store(p, v);
  float some[kWide];
  Store(some, v);
  for (std::size_t i = 0; i < count; ++i) p[i] = some[i];
}

// `count` units, up to a vector's, from `u` on of one window.
inline void LstmUnits(std::size_t units, std::size_t u, std::size_t count, float* gates,
                      const float* before, float* cells, float* tanh_cells, float* out) {
  const auto load = [&](const float* p) { return LoadSome(p, count); };
  const auto store = [&](float* p, const Vector& v) { StoreSome(p, v, count); };
  const Vector i = SigmoidOf(load(gates + u)), f = SigmoidOf(load(gates + units + u));
  const Vector g = TanhOf(load(gates + 2 * units + u));
  const Vector o = SigmoidOf(load(gates + 3 * units + u));
  Vector cell = i * g;
  if (before != nullptr) cell += f * load(before + u);
  const Vector tanh_cell = TanhOf(cell);
  store(gates + u, i);
  store(gates + units + u, f);
  store(gates + 2 * units + u, g);
  store(gates + 3 * units + u, o);
  store(cells + u, cell);
  store(tanh_cells + u, tanh_cell);
  store(out + u, o * tanh_cell);
}

void Lstm(std::size_t rows, std::size_t units, float* gates, const float* before, float* cells,
          float* tanh_cells, float* out) {
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t at = r * units;
    for (std::size_t u = 0; u < units; u += kWide) {
      LstmUnits(units, u, Least(kWide, units - u), gates + 4 * at,
                before == nullptr ? nullptr : before + at, cells + at, tanh_cells + at, out + at);
    }
  }
}

inline void LstmUnitsBackward(std::size_t units, std::size_t u, std::size_t count, float* gates,
                              const float* before, const float* tanh_cells, const float* d_out,
                              float* d_cells) {
  const auto load = [&](const float* p) { return LoadSome(p, count); };
  const Vector i = load(gates + u), f = load(gates + units + u);
  const Vector g = load(gates + 2 * units + u), o = load(gates + 3 * units + u);
  const Vector tanh_cell = load(tanh_cells + u), dh = load(d_out + u);
  const Vector dc = load(d_cells + u) + dh * o * (1.0f - tanh_cell * tanh_cell);
  Vector d_forget = {};
  if (before != nullptr) d_forget = dc * load(before + u) * f * (1.0f - f);
  StoreSome(gates + u, dc * g * i * (1.0f - i), count);
  StoreSome(gates + units + u, d_forget, count);
  StoreSome(gates + 2 * units + u, dc * i * (1.0f - g * g), count);
  StoreSome(gates + 3 * units + u, dh * tanh_cell * o * (1.0f - o), count);
  StoreSome(d_cells + u, dc * f, count);
}

void LstmBackward(std::size_t rows, std::size_t units, float* gates, const float* before,
                  const float* tanh_cells, const float* d_out, float* d_cells) {
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t at = r * units;
    for (std::size_t u = 0; u < units; u += kWide) {
      LstmUnitsBackward(units, u, Least(kWide, units - u), gates + 4 * at,
                        before == nullptr ? nullptr : before + at, tanh_cells + at, d_out + at,
                        d_cells + at);
    }
  }
}

void Adam(const AdamRates& rates, std::size_t n, const float* gradient, float* mean, float* square,
          float* weights) {
  const AdamRates r = rates;  // for all that the compiler knows they could change with the weights
  for (std::size_t i = 0; i < n; ++i) {
    const float g = gradient[i] * r.clip + r.l2 * weights[i];
    const float m = r.beta1 * mean[i] + (1 - r.beta1) * g;
    const float s = r.beta2 * square[i] + (1 - r.beta2) * g * g;
    mean[i] = m;
    square[i] = s;
    const float divisor = __builtin_sqrtf(s) / r.root_of_correction + r.epsilon;
    weights[i] = weights[i] * r.shrink - r.step_size * m / divisor;
  }
}

void FillRows(std::size_t rows, std::size_t n, const float* bias, float* x, std::size_t ld) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) x[r * ld + i] = bias[i];
  }
}
template <typename V>
void AddColumn(std::size_t rows, const float* x, std::size_t ld, float* sum) {
  V parts[4] = {Load<V>(sum), V{}, V{}, V{}};
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    Repeat<4>([&](auto i) SEER_NN_INLINE { parts[i.value] += Load<V>(x + (r + i.value) * ld); });
  }
  for (; r < rows; ++r) parts[0] += Load<V>(x + r * ld);
  Store(sum, parts[0] + parts[1] + (parts[2] + parts[3]));
}
void AddColumns(std::size_t rows, std::size_t n, const float* x, std::size_t ld, float* sum) {
  std::size_t i = 0;
  for (; i + kWide <= n; i += kWide) AddColumn<Vector>(rows, x + i, ld, sum + i);
  if constexpr (kLanes > 8) {
    for (; i + 8 <= n; i += 8) AddColumn<VectorOf<8>::Type>(rows, x + i, ld, sum + i);
  }
  if constexpr (kLanes > 4) {
    for (; i + 4 <= n; i += 4) AddColumn<VectorOf<4>::Type>(rows, x + i, ld, sum + i);
  }
  for (; i < n; ++i) {
    for (std::size_t r = 0; r < rows; ++r) sum[i] += x[r * ld + i];
  }
}

void Dropout(std::uint64_t key, std::uint64_t dropped_below, float kept_factor, std::uint64_t index,
             std::size_t n, const float* in, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint64_t x = key + (index + i + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x = (x ^ (x >> 31)) >> 40;
    out[i] = x < dropped_below ? 0.0f : in[i] * kept_factor;
  }
}
