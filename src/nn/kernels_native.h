// A part of kernels_impl.h, included in the middle of its namespaces: not for anybody else.
//
// What the backend native adds to it (native_kernels.h).

// Windows whose gates fit the registers.
constexpr std::size_t kAtOnce = kLanes == 16 ? 5 : 2;
static_assert(kAtOnce <= kMostWindowsAtOnce && 4 % kVectors == 0, "native_kernels.h");
// Rows of a panel that stay in the first cache, 16 KB, while all rows of inputs pass over them. The
// next ones come in meanwhile.
constexpr std::size_t kDepth = 4096 / kPanel;

// One row, one panel: c = start + the sum of x(i) * the row of weights at(i). Two sums for each
// vector: one would wait for itself.
template <typename X, typename At>
SEER_NN_INLINE inline void RowPanel(std::size_t count, const X& x, const At& at, const float* start,
                                    float* c) {
  Vector even[4], odd[4];
  Repeat<4>([&](auto v) SEER_NN_INLINE {
    even[v.value] = Load<Vector>(start + v.value * kWide);
    odd[v.value] = Vector{};
  });
  const auto add = [&](std::size_t i, Vector* sum) SEER_NN_INLINE {
    const float value = x(i);
    const auto* const row = at(i);
    Repeat<4>([&](auto v)
                  SEER_NN_INLINE { sum[v.value] += value * LoadWeights(row + v.value * kWide); });
  };
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    add(i, even);
    add(i + 1, odd);
  }
  if (i < count) add(i, even);
  Repeat<4>([&](auto v)
                SEER_NN_INLINE { Store(c + v.value * kWide, even[v.value] + odd[v.value]); });
}

template <typename Weight>
void ProductOf(const Weight* weights, const PackedMatrix& w, std::size_t first, std::size_t depth,
               std::size_t rows, const float* in, std::size_t ld_in, bool add, float* out,
               std::size_t ld_out) {
  const std::size_t whole = w.columns / kPanel, left = w.columns % kPanel;
  const auto panel = [&](std::size_t p, std::size_t k) {
    return weights + (p * w.rows + first + k) * kPanel;
  };
  if (rows == 1) {
    for (std::size_t p = 0; p < whole; ++p) {
      float* const c = out + p * kPanel;
      const Weight* const at = panel(p, 0);
      RowPanel(
          depth, [&](std::size_t k) { return in[k]; },
          [&](std::size_t k) { return at + k * kPanel; }, add ? c : w.bias + p * kPanel, c);
    }
  } else {
    for (std::size_t k = 0; k < depth; k += kDepth) {
      const std::size_t now = Least(kDepth, depth - k);
      for (std::size_t p = 0; p < whole; ++p) {
        const Weight* const at = panel(p, k);
        const Weight* const next = p + 1 < whole ? panel(p + 1, k) : panel(0, k + now);
        PanelRows(rows, now, in + k, ld_in, 1, at, add || k > 0 ? nullptr : w.bias + p * kPanel,
                  p + 1 == whole && k + now == depth ? at : next, out + p * kPanel, ld_out);
      }
    }
  }
  if (left > 0) {
    float rest[kRows * kPanel];
    for (std::size_t i = 0; i < rows; i += kRows) {
      const std::size_t count = Least(kRows, rows - i);
      float* const to = out + i * ld_out + whole * kPanel;
      if (add) {
        for (std::size_t r = 0; r < count; ++r) {
          for (std::size_t j = 0; j < left; ++j) rest[r * kPanel + j] = to[r * ld_out + j];
          for (std::size_t j = left; j < kPanel; ++j) rest[r * kPanel + j] = 0;
        }
      }
      const Weight* const at = panel(whole, 0);
      const float* const start = add ? nullptr : w.bias + whole * kPanel;
      if (rows == 1) {
        RowPanel(
            depth, [&](std::size_t k) { return in[k]; },
            [&](std::size_t k) { return at + k * kPanel; }, add ? rest : start, rest);
      } else {
        PanelTileOf<kRows>(count, depth, in + i * ld_in, ld_in, 1, at, start, at, rest, kPanel);
      }
      for (std::size_t r = 0; r < count; ++r) {
        for (std::size_t j = 0; j < left; ++j) to[r * ld_out + j] = rest[r * kPanel + j];
      }
    }
  }
}

void Product(const PackedMatrix& w, std::size_t first, std::size_t depth, std::size_t rows,
             const float* in, std::size_t ld_in, bool add, KernelActivation activation, float* out,
             std::size_t ld_out) {
  if (w.halves == nullptr) {
    ProductOf(w.weights, w, first, depth, rows, in, ld_in, add, out, ld_out);
  } else {
    ProductOf(w.halves, w, first, depth, rows, in, ld_in, add, out, ld_out);
  }
  if (activation == KernelActivation::kNone) return;
  for (std::size_t i = 0; i < rows; ++i) Activate(activation, w.columns, out + i * ld_out);
}

// Panels of which a row of weights is read at once: their sums fit the registers. Side by side they
// are as many streams for the processor to fetch ahead.
constexpr std::size_t kSide = kLanes == 16 ? 4 : 2;

// out = the sum of in[i] * row i of weights, for each i of the list; panels are `stride` apart.
template <std::size_t panels, typename Weight>
void SparseRows(const Weight* weights, std::size_t stride, const float* in,
                const std::uint32_t* list, std::size_t count, float* out) {
  // The processor does not guess which rows come next: they are fetched as early as it can have so
  // many on their way.
  constexpr std::size_t kAhead = kListRoom / panels;
  Vector sum[panels][4];
  const auto each = [&](const auto& body) SEER_NN_INLINE {
    Repeat<panels>([&](auto p) SEER_NN_INLINE {
      Repeat<4>([&](auto v) SEER_NN_INLINE { body(p.value, v.value); });
    });
  };
  each([&](std::size_t p, std::size_t v) SEER_NN_INLINE { sum[p][v] = Vector{}; });
  for (std::size_t i = 0; i < count; ++i) {
    const Weight* const later = weights + std::size_t{list[i + kAhead]} * kPanel;
    Repeat<panels>([&](auto p) SEER_NN_INLINE {
      for (std::size_t at = 0; at < kPanel; at += kLineOf<Weight>) {
        __builtin_prefetch(later + p.value * stride + at, 0, 3);
      }
    });
    const float x = in[list[i]];
    const Weight* const row = weights + std::size_t{list[i]} * kPanel;
    each([&](std::size_t p, std::size_t v)
             SEER_NN_INLINE { sum[p][v] += x * LoadWeights(row + p * stride + v * kWide); });
  }
  each([&](std::size_t p, std::size_t v)
           SEER_NN_INLINE { Store(out + p * kPanel + v * kWide, sum[p][v]); });
}

template <std::size_t panels, typename Weight>
void SparseRowsOf(std::size_t left, const Weight* weights, std::size_t stride, const float* in,
                  const std::uint32_t* list, std::size_t count, float* out) {
  if constexpr (panels > 1) {
    if (left < panels) {
      return SparseRowsOf<panels - 1>(left, weights, stride, in, list, count, out);
    }
  }
  SparseRows<panels>(weights, stride, in, list, count, out);
}

template <typename Weight>
void SparseRowOf(const Weight* weights, const PackedMatrix& w, const float* in, bool backwards,
                 SparseScratch scratch, float* out) {
  const std::size_t panels = w.columns / kPanel, stride = w.rows * kPanel;
  const std::size_t blocks = Least((w.rows + kSparseRows - 1) / kSparseRows, kSparseBlocks);
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t block = backwards ? blocks - 1 - i : i;
    const std::size_t first = block * w.rows / blocks;
    const std::size_t depth = (block + 1) * w.rows / blocks - first;
    std::uint32_t* const list = scratch.list;
    std::size_t count = 0;
    for (std::size_t k = 0; k < depth; ++k) {
      list[count] = static_cast<std::uint32_t>(k);
      count += in[first + k] != 0 ? 1 : 0;
    }
    for (std::size_t r = 0; r < kListRoom; ++r) list[count + r] = count > 0 ? list[count - 1] : 0;
    for (std::size_t p = 0; p < panels; p += kSide) {
      SparseRowsOf<kSide>(panels - p, weights + p * stride + first * kPanel, stride, in + first,
                          list, count, scratch.sums + block * w.columns + p * kPanel);
    }
  }
  for (std::size_t at = 0; at < w.columns; at += kWide) {
    Vector sum = Load<Vector>(w.bias + at);
    for (std::size_t b = 0; b < blocks; ++b) sum += Load<Vector>(scratch.sums + b * w.columns + at);
    Store(out + at, sum);
  }
}

void SparseRow(const PackedMatrix& w, const float* in, bool backwards, SparseScratch scratch,
               float* out) {
  if (w.halves == nullptr) {
    SparseRowOf(w.weights, w, in, backwards, scratch, out);
  } else {
    SparseRowOf(w.halves, w, in, backwards, scratch, out);
  }
}

// ---- The recurrence.

struct LstmStep {
  std::size_t units, padded, steps;  // steps: panels
  const float* weights;
  const float* gates;   // windows x 4 * padded
  const float* before;  // windows x padded; null: zeros
  float* after;
  float* cells;  // zeros too where before is null
  float* out;    // windows x units
};

// The gates of a panel's units. `rising`: the order in which the units of `before` were ready.
template <std::size_t windows>
void LstmPanel(const LstmStep& s, std::size_t panel, bool rising) {
  constexpr std::size_t kChains = windows == 1 ? 2 : 1;
  Vector sum[windows][kChains][4];
  Repeat<windows>([&](auto w) SEER_NN_INLINE {
    const float* const gates = s.gates + w.value * 4 * s.padded + panel * kPanel;
    Repeat<4>([&](auto v) SEER_NN_INLINE {
      sum[w.value][0][v.value] = Load<Vector>(gates + v.value * kWide);
      if constexpr (kChains == 2) sum[w.value][1][v.value] = Vector{};
    });
  });
  for (std::size_t i = 0; s.before != nullptr && i < s.steps; ++i) {
    const std::size_t first = (rising ? i : s.steps - 1 - i) * kWide;
    const std::size_t count = Least(kWide, s.units - first);
    const float* row = s.weights + (panel * s.units + first) * kPanel;
    const float* const h = s.before + first;
    const auto add = [&](std::size_t u, auto chain) SEER_NN_INLINE {
      Repeat<windows>([&](auto w) SEER_NN_INLINE {
        const float x = h[w.value * s.padded + u];
        Repeat<4>([&](auto v) SEER_NN_INLINE {
          sum[w.value][chain.value][v.value] += x * Load<Vector>(row + v.value * kWide);
        });
      });
      row += kPanel;
    };
    std::size_t u = 0;
    for (; u + 2 <= count; u += 2) {
      add(u, Number<0>{});
      add(u + 1, Number<kChains - 1>{});
    }
    if (u < count) add(u, Number<0>{});
  }
  // sigmoid(i) tanh(g) = (1 - b) / ((1 + a) (1 + b)) with a = e^-i, b = e^-2g: one reciprocal.
  const auto gated = [](Vector gate, Vector x) {
    const Vector a = Exponential(-gate, 43.0f), b = Exponential(x * -2.0f, 43.0f);
    return (1.0f - b) * Reciprocal((1.0f + a) * (1.0f + b));
  };
  Repeat<windows>([&](auto at) SEER_NN_INLINE {
    constexpr std::size_t w = decltype(at)::value;
    if constexpr (kChains == 2) {
      Repeat<4>([&](auto v) SEER_NN_INLINE { sum[w][0][v.value] += sum[w][1][v.value]; });
    }
    float* const cells = s.cells + w * s.padded + panel * kWide;
    Vector cell = gated(sum[w][0][0], sum[w][0][2]);
    if (s.before != nullptr) {
      const Vector forget = Reciprocal(1.0f + Exponential(-sum[w][0][1], 43.0f));
      cell += forget * Load<Vector>(cells);
    }
    const Vector h = gated(sum[w][0][3], cell);
    Store(cells, cell);
    float* const after = s.after + w * s.padded + panel * kWide;
    Store(after, h);
    float* const out = s.out + w * s.units + panel * kWide;
    if (panel * kWide + kWide <= s.units) {
      Store(out, h);
    } else {
      for (std::size_t u = 0; u < s.units % kWide; ++u) out[u] = after[u];
    }
  });
}

template <std::size_t windows>
void Steps(std::size_t ticks, LstmStep s, float* state, bool fresh) {
  float* const h[2] = {state, state + windows * s.padded};
  s.cells = state + 2 * windows * s.padded;
  const float* const gates = s.gates;
  float* const out = s.out;
  for (std::size_t t = 0; t < ticks; ++t) {
    s.gates = gates + t * windows * 4 * s.padded;
    s.out = out + t * windows * s.units;
    s.before = fresh && t == 0 ? nullptr : h[t % 2];
    s.after = h[(t + 1) % 2];
    // Each tick begins with the weights that the one before it ended with and the first cache still
    // has, and adds up what was ready first.
    for (std::size_t i = 0; i < s.steps; ++i) {
      LstmPanel<windows>(s, t % 2 == 0 ? i : s.steps - 1 - i, t % 2 != 0);
    }
  }
  if (ticks % 2 == 0) return;
  for (std::size_t i = 0; i < windows * s.padded; ++i) h[0][i] = h[1][i];
}

template <std::size_t windows>
void StepsOf(std::size_t count, std::size_t ticks, const LstmStep& s, float* state, bool fresh) {
  if constexpr (windows > 1) {
    if (count < windows) return StepsOf<windows - 1>(count, ticks, s, state, fresh);
  }
  Steps<windows>(ticks, s, state, fresh);
}

void PackedRecurrence(std::size_t ticks, std::size_t windows, std::size_t units, const float* w,
                      const float* gates, bool fresh, float* state, float* out) {
  LstmStep s = {};
  s.units = units;
  s.steps = (units + kWide - 1) / kWide;
  s.padded = s.steps * kWide;
  s.weights = w;
  s.gates = gates;
  s.out = out;
  StepsOf<kAtOnce>(windows, ticks, s, state, fresh);
}

// ---- Convolutions.

template <typename V, std::size_t vectors, std::size_t positions>
void ConvTile(const PackedConv& s, std::size_t channel, const float* in, float* out) {
  constexpr std::size_t kWidth = sizeof(V) / sizeof(float);
  V sum[positions][vectors];
  const auto each = [&](const auto& body) SEER_NN_INLINE {
    Repeat<positions>([&](auto p) SEER_NN_INLINE {
      Repeat<vectors>([&](auto v) SEER_NN_INLINE { body(p.value, v.value); });
    });
  };
  each([&](std::size_t p, std::size_t v)
           SEER_NN_INLINE { sum[p][v] = Load<V>(s.bias + channel + v * kWidth); });
  const float* w = s.weights + channel;
  for (std::size_t j = 0; j < s.taps; ++j, w += s.channels) {
    V row[vectors];
    Repeat<vectors>([&](auto v) SEER_NN_INLINE { row[v.value] = Load<V>(w + v.value * kWidth); });
    Repeat<positions>([&](auto p) SEER_NN_INLINE {
      const float x = in[p.value * s.step + j];
      Repeat<vectors>([&](auto v) SEER_NN_INLINE { sum[p.value][v.value] += x * row[v.value]; });
    });
  }
  if (s.activation == KernelActivation::kRelu) {
    each([&](std::size_t p, std::size_t v)
             SEER_NN_INLINE { sum[p][v] = 0.0f > sum[p][v] ? V{} : sum[p][v]; });
  }
  each([&](std::size_t p, std::size_t v)
           SEER_NN_INLINE { Store(out + p * s.channels + channel + v * kWidth, sum[p][v]); });
}

template <typename V, std::size_t vectors, std::size_t positions>
void ConvTileOf(std::size_t count, const PackedConv& s, std::size_t channel, const float* in,
                float* out) {
  if constexpr (positions > 1) {
    if (count < positions) {
      return ConvTileOf<V, vectors, positions - 1>(count, s, channel, in, out);
    }
  }
  ConvTile<V, vectors, positions>(s, channel, in, out);
}

template <typename V, std::size_t vectors>
void ConvChannels(const PackedConv& s, std::size_t channel, std::size_t positions, const float* in,
                  float* out) {
  constexpr std::size_t kMost = kLanes == 16 ? (vectors == 1 ? 12 : 10) : (vectors == 1 ? 10 : 6);
  std::size_t tiles = (positions + kMost - 1) / kMost;
  for (std::size_t p = 0; p < positions; --tiles) {
    const std::size_t count = (positions - p + tiles - 1) / tiles;
    ConvTileOf<V, vectors, kMost>(count, s, channel, in + p * s.step, out + p * s.channels);
    p += count;
  }
}

// All channels in vectors V; the last one reaches back to what is done already where their number
// is no multiple.
template <typename V>
void ConvAll(const PackedConv& s, std::size_t positions, const float* in, float* out) {
  constexpr std::size_t kWidth = sizeof(V) / sizeof(float);
  std::size_t c = 0;
  for (; c + 2 * kWidth <= s.channels; c += 2 * kWidth) {
    ConvChannels<V, 2>(s, c, positions, in, out);
  }
  for (; c < s.channels; c += kWidth) {
    ConvChannels<V, 1>(s, Least(c, s.channels - kWidth), positions, in, out);
  }
}

void FewChannels(const PackedConv& s, std::size_t positions, const float* in, float* out) {
  for (std::size_t p = 0; p < positions; ++p) {
    for (std::size_t c = 0; c < s.channels; ++c) {
      float sum = s.bias[c];
      for (std::size_t j = 0; j < s.taps; ++j) {
        sum += in[p * s.step + j] * s.weights[j * s.channels + c];
      }
      out[p * s.channels + c] = s.activation == KernelActivation::kRelu && sum < 0 ? 0.0f : sum;
    }
  }
}

void PackedConvolution(const PackedConv& s, std::size_t positions, const float* in, float* out) {
  if (positions > 1 && Pair::Pays(s.taps, s.step, s.channels)) {
    const Pair pair(s.taps, s.step, s.channels, s.weights, s.bias);
    const std::size_t pairs = positions / 2;
    const PackedConv both = {s.taps + s.step, 2 * s.step, 2 * s.channels,
                             pair.weights,    pair.bias,  s.activation};
    PackedConvolution(both, pairs, in, out);
    if (positions % 2 == 0) return;
    in += pairs * 2 * s.step;
    out += pairs * 2 * s.channels;
    positions = 1;
  }
  auto* convolve = FewChannels;
  if (s.channels >= kWide) {
    convolve = ConvAll<Vector>;
  } else {
    if constexpr (kLanes > 4) {
      if (s.channels >= 4) convolve = ConvAll<VectorOf<4>::Type>;
    }
    if constexpr (kLanes > 8) {
      if (s.channels >= 8) convolve = ConvAll<VectorOf<8>::Type>;
    }
  }
  convolve(s, positions, in, out);
  if (s.activation != KernelActivation::kRelu) Activate(s.activation, positions * s.channels, out);
}

// ---- The rest.

void Pool(std::size_t positions, std::size_t channels, const float* in, float* out) {
  const float share = 1.0f / static_cast<float>(positions);
  std::size_t c = 0;
  for (; c + kWide <= channels; c += kWide) {
    Vector sum = Load<Vector>(in + c), top = sum;
    for (std::size_t p = 1; p < positions; ++p) {
      const Vector x = Load<Vector>(in + p * channels + c);
      sum += x;
      top = top < x ? x : top;
    }
    Store(out + c, sum * share);
    Store(out + channels + c, top);
  }
  for (; c < channels; ++c) {
    float sum = in[c], top = sum;
    for (std::size_t p = 1; p < positions; ++p) {
      const float x = in[p * channels + c];
      sum += x;
      top = top < x ? x : top;
    }
    out[c] = sum * share;
    out[channels + c] = top;
  }
}

void Dots(std::size_t rows, std::size_t n, const float* in, const float* w, float start,
          float* out) {
  for (std::size_t r = 0; r < rows; ++r) {
    const float* const x = in + r * n;
    Vector sums = {};
    std::size_t j = 0;
    for (; j + kWide <= n; j += kWide) sums += Load<Vector>(x + j) * Load<Vector>(w + j);
    float each[kWide];
    Store(each, sums);
    for (std::size_t width = kWide / 2; width > 0; width /= 2) {
      for (std::size_t i = 0; i < width; ++i) each[i] += each[i + width];
    }
    float sum = start + each[0];
    for (; j < n; ++j) sum += x[j] * w[j];
    out[r] = sum;
  }
}

// Logits to probabilities that sum up to 1, in place. Those far below the greatest become 0.
void Softmax(std::size_t n, float* z) {
  float top = z[0];
  for (std::size_t i = 1; i < n; ++i) top = z[i] > top ? z[i] : top;
  Vector sums = {};
  const auto some = [&](std::size_t i, std::size_t count) {
    const Vector x = LoadSome(z + i, count) - top;
    Vector y = Exponential(x);
    y = x < Each(-87.0f) ? Vector{} : y;
    StoreSome(z + i, y, count);
    return y;
  };
  std::size_t i = 0;
  for (; i + kWide <= n; i += kWide) sums += some(i, kWide);
  float each[kWide];
  Store(each, sums);
  if (i < n) some(i, n - i);
  float sum = 0;
  for (std::size_t j = 0; j < kWide; ++j) sum += each[j];
  for (; i < n; ++i) sum += z[i];
  const float share = 1 / sum;
  for (i = 0; i < n; ++i) z[i] *= share;
}
