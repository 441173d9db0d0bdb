// A part of kernels_impl.h, included in the middle of its namespaces: not for anybody else.

constexpr std::size_t kTile = SEER_NN_TILE;

// ---- The matrix product of few rows: b is read where it stands, once for each tile of rows.

// c (rows x vectors * kLanes) = or += a * b over k. Element (i, j) of a is a[i * ars + j * aks].
// `ahead`: how far behind each value of b the one stands that is fetched for later; 0: none.
template <std::size_t rows, std::size_t vectors, typename Vector>
void Tile(std::size_t k, const float* a, std::size_t ars, std::size_t aks, const float* b,
          std::size_t ldb, std::size_t ahead, bool add, float* c, std::size_t ldc) {
  constexpr std::size_t kLanes = sizeof(Vector) / sizeof(float);  // may be a narrower one
  Vector sum[rows][vectors];
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t v = 0; v < vectors; ++v) {
      sum[i][v] = add ? Load<Vector>(c + i * ldc + v * kLanes) : Vector{};
    }
  }
  for (std::size_t j = 0; j < k; ++j) {
    Vector row[vectors];
    for (std::size_t v = 0; v < vectors; ++v) row[v] = Load<Vector>(b + j * ldb + v * kLanes);
    if (ahead != 0) {
      for (std::size_t v = 0; v < vectors; ++v) {
        __builtin_prefetch(b + j * ldb + ahead + v * kLanes, 0, 2);
      }
    }
    for (std::size_t i = 0; i < rows; ++i) {
      const float x = a[i * ars + j * aks];
      for (std::size_t v = 0; v < vectors; ++v) sum[i][v] += x * row[v];
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t v = 0; v < vectors; ++v) Store(c + i * ldc + v * kLanes, sum[i][v]);
  }
}

// As many whole vectors of columns at once as are left of `n`; returns where it ended.
template <std::size_t rows, std::size_t vectors, typename Vector>
std::size_t Columns(std::size_t j, std::size_t n, std::size_t k, const float* a, std::size_t ars,
                    std::size_t aks, const float* b, std::size_t ldb, std::size_t ahead, bool add,
                    float* c, std::size_t ldc) {
  constexpr std::size_t kWidth = vectors * sizeof(Vector) / sizeof(float);
  for (; j + kWidth <= n; j += kWidth) {
    Tile<rows, vectors, Vector>(k, a, ars, aks, b + j, ldb, ahead, add, c + j, ldc);
  }
  return j;
}

template <std::size_t rows>
void RowsOfTiles(std::size_t n, std::size_t k, const float* a, std::size_t ars, std::size_t aks,
                 const float* b, std::size_t ldb, std::size_t ahead, bool add, float* c,
                 std::size_t ldc) {
  // One row has registers for more vectors, and needs them: a sum waits for the one before it, and
  // long pieces of b are fetched by themselves.
  std::size_t j = 0;
  if constexpr (rows == 1 && kLanes == 16) {
    j = Columns<1, 16, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
  if constexpr (rows == 1) {
    j = Columns<1, 8, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
  if constexpr (rows <= 2) {
    j = Columns<rows, 4, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
  j = Columns<rows, 2, Vector>(j, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  j = Columns<rows, 1, Vector>(j, n, k, a, ars, aks, b, ldb, 0, add, c, ldc);
  if constexpr (kLanes > 8) {
    j = Columns<rows, 1, VectorOf<8>::Type>(j, n, k, a, ars, aks, b, ldb, 0, add, c, ldc);
  }
  if constexpr (kLanes > 4) {
    j = Columns<rows, 1, VectorOf<4>::Type>(j, n, k, a, ars, aks, b, ldb, 0, add, c, ldc);
  }
  for (; j < n; ++j) {
    for (std::size_t i = 0; i < rows; ++i) {
      float sum = add ? c[i * ldc + j] : 0.0f;
      for (std::size_t t = 0; t < k; ++t) sum += a[i * ars + t * aks] * b[t * ldb + j];
      c[i * ldc + j] = sum;
    }
  }
}

template <std::size_t rows>
void LastRows(std::size_t left, std::size_t n, std::size_t k, const float* a, std::size_t ars,
              std::size_t aks, const float* b, std::size_t ldb, std::size_t ahead, bool add,
              float* c, std::size_t ldc) {
  if constexpr (rows > 0) {
    if (left == rows) return RowsOfTiles<rows>(n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
    LastRows<rows - 1>(left, n, k, a, ars, aks, b, ldb, ahead, add, c, ldc);
  }
}

void DirectGemm(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t ars,
                std::size_t aks, const float* b, std::size_t ldb, bool add, float* c,
                std::size_t ldc) {
  // A slice of b of this depth stays in the second cache while all rows pass over it. The first
  // rows fetch the next slice meanwhile; one or two rows read b in pieces so long that the
  // processor fetches by itself.
  constexpr std::size_t kDepth = 128;
  for (std::size_t j = 0; j < k || j == 0; j += kDepth) {
    const std::size_t depth = Least(kDepth, k - j);
    std::size_t ahead = m > 2 && j + 2 * kDepth <= k ? kDepth * ldb : 0;
    std::size_t i = 0;
    for (; i + kTile <= m; i += kTile) {
      RowsOfTiles<kTile>(n, depth, a + i * ars + j * aks, ars, aks, b + j * ldb, ldb, ahead, add,
                         c + i * ldc, ldc);
      ahead = 0;
    }
    LastRows<kTile - 1>(m - i, n, depth, a + i * ars + j * aks, ars, aks, b + j * ldb, ldb, ahead,
                        add, c + i * ldc, ldc);
    add = true;
  }
}

// ---- Products with packed weights: panels of four vectors of columns, row after row.

constexpr std::size_t kWide = kLanes;
constexpr std::size_t kPanel = 4 * kWide;
template <typename Weight>
constexpr std::size_t kLineOf = kCacheLine / sizeof(Weight);
// Rows and vectors of a tile: with that many sums, the vectors of weights and one of inputs it fits
// the registers, 32 or 16.
constexpr std::size_t kRows = kLanes == 16 ? 5 : 6, kVectors = kLanes == 16 ? 4 : 2;

// c = bias, or c where that is null, + a * w over `depth`, 1 or more. Element (i, k) of a is a[i *
// ars + k * aks]; rows of w stand kPanel apart. One line is fetched from `ahead` on for each of
// them.
template <std::size_t rows, std::size_t vectors, typename Weight>
void PanelTile(std::size_t depth, const float* a, std::size_t ars, std::size_t aks, const Weight* w,
               const float* bias, const Weight* ahead, float* c, std::size_t ldc) {
  Vector sum[rows][vectors];
  const auto each = [&](const auto& body) SEER_NN_INLINE {
    Repeat<rows>([&](auto i) SEER_NN_INLINE {
      Repeat<vectors>([&](auto v) SEER_NN_INLINE { body(i.value, v.value); });
    });
  };
  if (bias == nullptr) {
    each([&](std::size_t i, std::size_t v)
             SEER_NN_INLINE { sum[i][v] = Load<Vector>(c + i * ldc + v * kWide); });
  } else {
    each([&](std::size_t i, std::size_t v)
             SEER_NN_INLINE { sum[i][v] = Load<Vector>(bias + v * kWide); });
  }
  do {
    Vector row[vectors];
    Repeat<vectors>([&](auto v)
                        SEER_NN_INLINE { row[v.value] = LoadWeights(w + v.value * kWide); });
    __builtin_prefetch(ahead, 0, 3);
    Repeat<rows>([&](auto i) SEER_NN_INLINE {
      const float x = a[i.value * ars];
      Repeat<vectors>([&](auto v) SEER_NN_INLINE { sum[i.value][v.value] += x * row[v.value]; });
    });
    a += aks;
    w += kPanel;
    ahead += kLineOf<Weight>;
  } while (--depth != 0);
  each([&](std::size_t i, std::size_t v)
           SEER_NN_INLINE { Store(c + i * ldc + v * kWide, sum[i][v]); });
}

template <std::size_t rows, typename Weight>
void PanelTileOf(std::size_t count, std::size_t depth, const float* a, std::size_t ars,
                 std::size_t aks, const Weight* w, const float* bias, const Weight* ahead, float* c,
                 std::size_t ldc) {
  if constexpr (rows > 1) {
    if (count < rows) {
      return PanelTileOf<rows - 1>(count, depth, a, ars, aks, w, bias, ahead, c, ldc);
    }
  }
  for (std::size_t v = 0; v < 4; v += kVectors) {
    PanelTile<rows, kVectors>(depth, a, ars, aks, w + v * kWide,
                              bias == nullptr ? nullptr : bias + v * kWide, ahead, c + v * kWide,
                              ldc);
    if (v == 0) ahead += depth * kLineOf<Weight>;
  }
}

// All rows of one panel: tiles whose sizes differ by one at most. The first ones fetch `next`.
template <typename Weight>
void PanelRows(std::size_t rows, std::size_t depth, const float* a, std::size_t ars,
               std::size_t aks, const Weight* w, const float* bias, const Weight* next, float* c,
               std::size_t ldc) {
  std::size_t tiles = (rows + kRows - 1) / kRows;
  const std::size_t block = depth * kPanel;
  for (std::size_t i = 0, fetched = 0; i < rows; --tiles) {
    const std::size_t count = (rows - i + tiles - 1) / tiles;
    PanelTileOf<kRows>(count, depth, a + i * ars, ars, aks, w, bias,
                       fetched < block ? next + fetched : w, c + i * ldc, ldc);
    fetched += depth * kLineOf<Weight> * (4 / kVectors);
    i += count;
  }
}

// ---- The matrix product of many rows: pieces of b are packed, and of a where it stands
// transposed.

// Four rows of four become four columns.
inline void TransposeFour(const float* in, std::size_t ld_in, float* out, std::size_t ld_out) {
  using Four = VectorOf<4>::Type;
  const Four a = Load<Four>(in), b = Load<Four>(in + ld_in);
  const Four c = Load<Four>(in + 2 * ld_in), d = Load<Four>(in + 3 * ld_in);
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  Store(out, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  Store(out + ld_out, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  Store(out + 2 * ld_out, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  Store(out + 3 * ld_out, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

// depth x count, count <= kPanel, of op(b); the rest of the panel is zeros.
inline void PackPanel(bool transposed, std::size_t depth, std::size_t count, const float* b,
                      std::size_t ldb, float* panel) {
  if (count < kPanel) {
    for (std::size_t i = 0; i < depth * kPanel; ++i) panel[i] = 0;
  }
  if (!transposed) {
    for (std::size_t k = 0; k < depth; ++k) {
      for (std::size_t j = 0; j < count; ++j) panel[k * kPanel + j] = b[k * ldb + j];
    }
    return;
  }
  std::size_t j = 0;
  for (; j + 4 <= count; j += 4) {
    std::size_t k = 0;
    for (; k + 4 <= depth; k += 4)
      TransposeFour(b + j * ldb + k, ldb, panel + k * kPanel + j, kPanel);
    for (; k < depth; ++k) {
      for (std::size_t i = j; i < j + 4; ++i) panel[k * kPanel + i] = b[i * ldb + k];
    }
  }
  for (; j < count; ++j) {
    for (std::size_t k = 0; k < depth; ++k) panel[k * kPanel + j] = b[j * ldb + k];
  }
}

void Pack(bool transposed, std::size_t k, std::size_t n, const float* b, std::size_t ldb,
          float* packed) {
  for (std::size_t j = 0; j < n; j += kPanel) {
    PackPanel(transposed, k, Least(kPanel, n - j), transposed ? b + j * ldb : b + j, ldb,
              packed + j * k);
  }
}

// Rows of c times one panel, of whose columns there are `count`.
inline void PanelColumns(std::size_t count, std::size_t m, std::size_t depth, const float* a,
                         std::size_t ars, std::size_t aks, const float* panel, bool add, float* c,
                         std::size_t ldc) {
  static constexpr float kZeros[kPanel] = {};
  if (count == kPanel) {
    // What comes next stands behind it, most often.
    PanelRows(m, depth, a, ars, aks, panel, add ? nullptr : kZeros, panel + depth * kPanel, c, ldc);
    return;
  }
  float rest[kRows * kPanel];
  for (std::size_t i = 0; i < m; i += kRows) {
    const std::size_t rows = Least(kRows, m - i);
    PanelTileOf<kRows>(rows, depth, a + i * ars, ars, aks, panel, kZeros, panel, rest, kPanel);
    for (std::size_t r = 0; r < rows; ++r) {
      float* const to = c + (i + r) * ldc;
      for (std::size_t u = 0; u < count; ++u) {
        to[u] = add ? to[u] + rest[r * kPanel + u] : rest[r * kPanel + u];
      }
    }
  }
}

void PackedGemm(std::size_t m, std::size_t n, std::size_t k, const float* a, std::size_t lda,
                const float* packed, bool add, float* c, std::size_t ldc) {
  for (std::size_t j = 0; j < n; j += kPanel) {
    PanelColumns(Least(kPanel, n - j), m, k, a, lda, 1, packed + j * k, add, c + j, ldc);
  }
}

void Gemm(bool a_transposed, bool b_transposed, std::size_t m, std::size_t n, std::size_t k,
          const float* a, std::size_t lda, const float* b, std::size_t ldb, bool add, float* c,
          std::size_t ldc, float* scratch) {
  if (m == 0 || n == 0) return;
  const std::size_t ars = a_transposed ? 1 : lda, aks = a_transposed ? lda : 1;
  // Packing b pays when many rows use it.
  if (k == 0 || (!b_transposed && m <= 24)) {
    DirectGemm(m, n, k, a, ars, aks, b, ldb, add, c, ldc);
    return;
  }
  // What is packed of b stays in the second cache, and so does that of a. A part of a panel, 20 KB,
  // stays in the first one while all rows of a block pass over it, and their sums stay in the
  // second until all parts are through.
  constexpr std::size_t kBlockDepth = 640, kBlockColumns = 256, kBlockRows = 80, kPart = 80;
  static_assert(kBlockDepth * (kBlockColumns + kBlockRows) <= kGemmScratch, "fits");
  static_assert(kBlockColumns % kPanel == 0 && kBlockRows % 16 == 0, "whole vectors");
  float* const block_b = scratch;
  float* const block_a = scratch + kBlockDepth * kBlockColumns;
  const std::size_t pieces = (k + kBlockDepth - 1) / kBlockDepth;
  for (std::size_t j = 0; j < n; j += kBlockColumns) {
    const std::size_t columns = Least(kBlockColumns, n - j);
    std::size_t t = 0;
    for (std::size_t left = pieces; left > 0; --left) {
      const std::size_t depth = (k - t + left - 1) / left;
      Pack(b_transposed, depth, columns, b_transposed ? b + j * ldb + t : b + t * ldb + j, ldb,
           block_b);
      for (std::size_t i = 0; i < m; i += kBlockRows) {
        const std::size_t rows = Least(kBlockRows, m - i);
        const float* at = a + i * ars + t * aks;
        std::size_t at_rows = ars, at_depth = aks;
        if (a_transposed) {
          for (std::size_t d = 0; d < depth; ++d) {
            for (std::size_t r = 0; r < rows; ++r) block_a[d * kBlockRows + r] = at[d * lda + r];
          }
          at = block_a;
          at_rows = 1;
          at_depth = kBlockRows;
        }
        for (std::size_t u = 0; u < columns; u += kPanel) {
          std::size_t d = 0;
          for (std::size_t parts = (depth + kPart - 1) / kPart; parts > 0; --parts) {
            const std::size_t now = (depth - d + parts - 1) / parts;
            PanelColumns(Least(kPanel, columns - u), rows, now, at + d * at_depth, at_rows,
                         at_depth, block_b + u * depth + d * kPanel, add || t + d > 0,
                         c + i * ldc + j + u, ldc);
            d += now;
          }
        }
      }
      t += depth;
    }
  }
}
