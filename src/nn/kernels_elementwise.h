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

// `count` units, up to a vector's, from `u` on of one window.
inline void LstmUnits(std::size_t units, std::size_t u, std::size_t count, float* gates,
                      const float* before, float* cells, float* tanh_cells, float* out) {
  const auto load = [&](const float* p) {
    if (count == kWide) return Load<Vector>(p);
    float some[kWide] = {};
    for (std::size_t i = 0; i < count; ++i) some[i] = p[i];
    return Load<Vector>(some);
  };
  const auto store = [&](float* p, const Vector& v) {
    if (count == kWide) return Store(p, v);
    float some[kWide];
    Store(some, v);
    for (std::size_t i = 0; i < count; ++i) p[i] = some[i];
  };
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

void LstmBackward(std::size_t rows, std::size_t units, float* gates, const float* before,
                  const float* tanh_cells, const float* d_out, float* d_cells) {
  for (std::size_t r = 0; r < rows; ++r) {
    float* const row = gates + r * 4 * units;
    for (std::size_t u = 0; u < units; ++u) {
      const float i = row[u], f = row[units + u], g = row[2 * units + u], o = row[3 * units + u];
      const std::size_t at = r * units + u;
      const float tanh_cell = tanh_cells[at], dh = d_out[at];
      const float dc = d_cells[at] + dh * o * (1 - tanh_cell * tanh_cell);
      row[u] = dc * g * i * (1 - i);
      row[units + u] = before == nullptr ? 0.0f : dc * before[at] * f * (1 - f);
      row[2 * units + u] = dc * i * (1 - g * g);
      row[3 * units + u] = dh * tanh_cell * o * (1 - o);
      d_cells[at] = dc * f;
    }
  }
}

void FillRows(std::size_t rows, std::size_t n, const float* bias, float* x, std::size_t ld) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) x[r * ld + i] = bias[i];
  }
}
void AddColumns(std::size_t rows, std::size_t n, const float* x, std::size_t ld, float* sum) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) sum[i] += x[r * ld + i];
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
