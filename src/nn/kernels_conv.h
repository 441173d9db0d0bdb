// A part of kernels_impl.h, included in the middle of its namespaces: not for anybody else.

// ---- Convolution. The inputs of an output position stand one behind the other, so that it is a
// matrix product whose left side is never copied: row p begins at p * stride * in_channels.

// Output positions [first, end) reach inputs on both sides; those before and behind only some.
struct Interior {
  std::size_t first, end;
};
inline Interior InteriorOf(const ConvShape& s) {
  Interior interior;
  interior.first = Least((s.padding + s.stride - 1) / s.stride, s.out_positions);
  const std::size_t room = s.in_positions + s.padding;
  interior.end = room < s.kernel ? 0 : Least((room - s.kernel) / s.stride + 1, s.out_positions);
  if (interior.end < interior.first) interior.end = interior.first;
  return interior;
}
// Which rows of the weights output position p uses, and where their inputs begin.
struct Taps {
  std::size_t first, count, input;
};
inline Taps TapsOf(const ConvShape& s, std::size_t p) {
  const std::size_t at = p * s.stride;  // in the padded input
  const std::size_t from = at < s.padding ? s.padding - at : 0;
  const std::size_t room = s.in_positions + s.padding;
  const std::size_t to = room > at ? Least(s.kernel, room - at) : 0;
  if (to <= from) return {0, 0, 0};
  return {from * s.in_channels, (to - from) * s.in_channels,
          (at + from - s.padding) * s.in_channels};
}

void AnyPosition(const ConvShape& s, std::size_t p, const float* in, const float* w,
                 const float* bias, float* out) {
  const Taps taps = TapsOf(s, p);
  float* const sum = out + p * s.out_channels;
  for (std::size_t u = 0; u < s.out_channels; ++u) sum[u] = bias[u];
  for (std::size_t j = 0; j < taps.count; ++j) {
    const float x = in[taps.input + j];
    const float* const row = w + (taps.first + j) * s.out_channels;
    for (std::size_t u = 0; u < s.out_channels; ++u) sum[u] += x * row[u];
  }
}

// Half a vector of channels: two positions at once fill it, their weights side by side between
// zeros. taps + step products for both instead of taps for each of them in half a vector.
struct Pair {
  static constexpr std::size_t kRoom = 32;
  float weights[kRoom * kLanes], bias[kLanes];

  static bool Pays(std::size_t taps, std::size_t step, std::size_t channels) {
    return 2 * channels == std::size_t{kLanes} && step < taps && taps + step <= kRoom;
  }
  Pair(std::size_t taps, std::size_t step, std::size_t channels, const float* w, const float* b) {
    for (std::size_t u = 0; u < channels; ++u) bias[u] = bias[channels + u] = b[u];
    for (std::size_t j = 0; j < taps + step; ++j) {
      float* const row = weights + j * 2 * channels;
      for (std::size_t u = 0; u < channels; ++u) {
        row[u] = j < taps ? w[j * channels + u] : 0.0f;
        row[channels + u] = j < step ? 0.0f : w[(j - step) * channels + u];
      }
    }
  }
};

template <std::size_t channels>
struct Fixed {
  static constexpr std::size_t kWidth = channels < kLanes ? channels : kLanes;
  static constexpr std::size_t kVectors = channels / kWidth;
  static constexpr std::size_t kAtOnce = kVectors == 1 ? kTile + 2 : kVectors == 2 ? kTile - 2 : 2;
  using V = typename VectorOf<static_cast<int>(kWidth)>::Type;

  template <std::size_t positions>
  static void Forward(std::size_t taps, std::size_t step, const float* in, const float* w,
                      const float* bias, float* out) {
    V sum[positions][kVectors];
    for (std::size_t p = 0; p < positions; ++p) {
      for (std::size_t v = 0; v < kVectors; ++v) sum[p][v] = Load<V>(bias + v * kWidth);
    }
    for (std::size_t j = 0; j < taps; ++j) {
      V row[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) row[v] = Load<V>(w + j * channels + v * kWidth);
      for (std::size_t p = 0; p < positions; ++p) {
        for (std::size_t v = 0; v < kVectors; ++v) sum[p][v] += in[p * step + j] * row[v];
      }
    }
    for (std::size_t p = 0; p < positions; ++p) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        Store(out + p * channels + v * kWidth, sum[p][v]);
      }
    }
  }

  template <std::size_t positions>
  static void LastForward(std::size_t left, std::size_t taps, std::size_t step, const float* in,
                          const float* w, const float* bias, float* out) {
    if constexpr (positions > 0) {
      if (left == positions) return Forward<positions>(taps, step, in, w, bias, out);
      LastForward<positions - 1>(left, taps, step, in, w, bias, out);
    }
  }

  static void Conv(const ConvShape& s, const Interior& interior, const float* in, const float* w,
                   const float* bias, float* out) {
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    std::size_t p = interior.first;
    const auto at = [&](std::size_t q) { return in + (q * s.stride - s.padding) * s.in_channels; };
    if constexpr (2 * channels == kLanes) {
      if (Pair::Pays(taps, step, channels)) {
        using Both = Fixed<2 * channels>;
        const Pair pair(taps, step, channels, w, bias);
        for (; p + 2 * Both::kAtOnce <= interior.end; p += 2 * Both::kAtOnce) {
          Both::template Forward<Both::kAtOnce>(taps + step, 2 * step, at(p), pair.weights,
                                                pair.bias, out + p * channels);
        }
      }
    }
    for (; p + kAtOnce <= interior.end; p += kAtOnce) {
      Forward<kAtOnce>(taps, step, at(p), w, bias, out + p * channels);
    }
    LastForward<kAtOnce - 1>(interior.end - p, taps, step, at(p), w, bias, out + p * channels);
  }

  template <std::size_t rows>
  static void Weights(std::size_t positions, std::size_t step, const float* in, const float* d,
                      float* dw) {
    V sum[rows][kVectors];
    for (std::size_t j = 0; j < rows; ++j) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[j][v] = Load<V>(dw + j * channels + v * kWidth);
      }
    }
    for (std::size_t p = 0; p < positions; ++p) {
      V row[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) row[v] = Load<V>(d + p * channels + v * kWidth);
      for (std::size_t j = 0; j < rows; ++j) {
        for (std::size_t v = 0; v < kVectors; ++v) sum[j][v] += in[p * step + j] * row[v];
      }
    }
    for (std::size_t j = 0; j < rows; ++j) {
      for (std::size_t v = 0; v < kVectors; ++v) Store(dw + j * channels + v * kWidth, sum[j][v]);
    }
  }

  template <std::size_t rows>
  static void LastWeights(std::size_t left, std::size_t positions, std::size_t step,
                          const float* in, const float* d, float* dw) {
    if constexpr (rows > 0) {
      if (left == rows) return Weights<rows>(positions, step, in, d, dw);
      LastWeights<rows - 1>(left, positions, step, in, d, dw);
    }
  }

  static void WeightGradient(const ConvShape& s, const Interior& interior, const float* in,
                             const float* d, float* dw) {
    if (interior.end == interior.first) return;
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    const std::size_t positions = interior.end - interior.first;
    in += (interior.first * s.stride - s.padding) * s.in_channels;
    d += interior.first * channels;
    std::size_t j = 0;
    for (; j + kAtOnce <= taps; j += kAtOnce) {
      Weights<kAtOnce>(positions, step, in + j, d, dw + j * channels);
    }
    LastWeights<kAtOnce - 1>(taps - j, positions, step, in + j, d, dw + j * channels);
  }
};

// Any number of channels, from a vector's on: vectors of them one after the other, the last of
// which reaches back to what is done already where the number is no multiple.
struct AnyWidth {
  static constexpr std::size_t kAtOnce = kTile + 2;

  template <std::size_t positions>
  static void Forward(std::size_t taps, std::size_t step, std::size_t channels, const float* in,
                      const float* w, const float* bias, float* out) {
    Vector sum[positions];
    for (std::size_t p = 0; p < positions; ++p) sum[p] = Load<Vector>(bias);
    for (std::size_t j = 0; j < taps; ++j) {
      const Vector row = Load<Vector>(w + j * channels);
      for (std::size_t p = 0; p < positions; ++p) sum[p] += in[p * step + j] * row;
    }
    for (std::size_t p = 0; p < positions; ++p) Store(out + p * channels, sum[p]);
  }

  static void Conv(const ConvShape& s, const Interior& interior, const float* in, const float* w,
                   const float* bias, float* out) {
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    const std::size_t channels = s.out_channels;
    const auto at = [&](std::size_t q) { return in + (q * s.stride - s.padding) * s.in_channels; };
    for (std::size_t next = 0; next < channels; next += kLanes) {
      const std::size_t u = Least(next, channels - kLanes);
      std::size_t p = interior.first;
      for (; p + kAtOnce <= interior.end; p += kAtOnce) {
        Forward<kAtOnce>(taps, step, channels, at(p), w + u, bias + u, out + p * channels + u);
      }
      for (; p < interior.end; ++p) {
        Forward<1>(taps, step, channels, at(p), w + u, bias + u, out + p * channels + u);
      }
    }
  }

  template <std::size_t rows>
  static void Weights(std::size_t positions, std::size_t step, std::size_t channels,
                      const Vector& counts, const float* in, const float* d, float* dw) {
    Vector sum[rows];
    for (std::size_t j = 0; j < rows; ++j) sum[j] = Load<Vector>(dw + j * channels);
    for (std::size_t p = 0; p < positions; ++p) {
      const Vector row = Load<Vector>(d + p * channels) * counts;
      for (std::size_t j = 0; j < rows; ++j) sum[j] += in[p * step + j] * row;
    }
    for (std::size_t j = 0; j < rows; ++j) Store(dw + j * channels, sum[j]);
  }

  static void WeightGradient(const ConvShape& s, const Interior& interior, const float* in,
                             const float* d, float* dw) {
    if (interior.end == interior.first) return;
    const std::size_t taps = s.kernel * s.in_channels, step = s.stride * s.in_channels;
    const std::size_t channels = s.out_channels, positions = interior.end - interior.first;
    in += (interior.first * s.stride - s.padding) * s.in_channels;
    d += interior.first * channels;
    for (std::size_t next = 0; next < channels; next += kLanes) {
      const std::size_t u = Least(next, channels - kLanes);
      Vector counts;  // 0 where it was added already
      for (int i = 0; i < kLanes; ++i) {
        counts[i] = u + static_cast<std::size_t>(i) < next ? 0.0f : 1.0f;
      }
      std::size_t j = 0;
      for (; j + kAtOnce <= taps; j += kAtOnce) {
        Weights<kAtOnce>(positions, step, channels, counts, in + j, d + u, dw + j * channels + u);
      }
      for (; j < taps; ++j) {
        Weights<1>(positions, step, channels, counts, in + j, d + u, dw + j * channels + u);
      }
    }
  }
};

void Conv(const ConvShape& s, const float* in, const float* w, const float* bias, float* out) {
  Interior interior = InteriorOf(s);
  if (s.out_channels == 8) {
    Fixed<8>::Conv(s, interior, in, w, bias, out);
  } else if (s.out_channels == 16) {
    Fixed<16>::Conv(s, interior, in, w, bias, out);
  } else if (s.out_channels == 32) {
    Fixed<32>::Conv(s, interior, in, w, bias, out);
  } else if (s.out_channels >= std::size_t{kLanes}) {
    AnyWidth::Conv(s, interior, in, w, bias, out);
  } else {
    interior.end = interior.first;
  }
  for (std::size_t p = 0; p < interior.first; ++p) AnyPosition(s, p, in, w, bias, out);
  for (std::size_t p = interior.end; p < s.out_positions; ++p) {
    AnyPosition(s, p, in, w, bias, out);
  }
  Activate(s.activation, s.out_positions * s.out_channels, out);
}

inline void AddRow(std::size_t n, const float* from, float* to) {
  std::size_t j = 0;
  for (; j + kWide <= n; j += kWide) Store(to + j, Load<Vector>(to + j) + Load<Vector>(from + j));
  if constexpr (kLanes > 8) {
    using Eight = VectorOf<8>::Type;
    for (; j + 8 <= n; j += 8) Store(to + j, Load<Eight>(to + j) + Load<Eight>(from + j));
  }
  for (; j < n; ++j) to[j] += from[j];
}

// d_in += d * w, where w stands transposed: out_channels x (kernel x in_channels). A matrix product
// for some positions at once, whose rows then are added where their inputs stand; those overlap.
void InputGradient(const ConvShape& s, const Interior& interior, const float* d_out,
                   const float* w_t, float* d_in) {
  constexpr std::size_t kRoom = 4096, kRows = 4 * kTile;
  float rows[kRoom];
  const std::size_t width = s.kernel * s.in_channels;
  const std::size_t at_once = Least(kRows, kRoom / width);
  const std::size_t passes = (s.kernel + s.stride - 1) / s.stride;
  for (std::size_t p = interior.first; p < interior.end; p += at_once) {
    const std::size_t count = Least(at_once, interior.end - p);
    DirectGemm(count, width, s.out_channels, d_out + p * s.out_channels, s.out_channels, 1, w_t,
               width, false, rows, width);
    // Neighbours overlap: a sum that was just written in other vectors would have to be waited for.
    for (std::size_t first = 0; first < passes; ++first) {
      for (std::size_t r = first; r < count; r += passes) {
        float* const to = d_in + ((p + r) * s.stride - s.padding) * s.in_channels;
        AddRow(width, rows + r * width, to);
      }
    }
  }
}

void ConvBackward(const ConvShape& s, const float* in, const float* w, const float* d_out,
                  float* dw, float* d_bias, float* d_in) {
  AddColumns(s.out_positions, s.out_channels, d_out, s.out_channels, d_bias);
  const Interior interior = InteriorOf(s);
  const bool weights = s.out_channels == 8 || s.out_channels >= std::size_t{kLanes};
  if (s.out_channels == 8) {
    Fixed<8>::WeightGradient(s, interior, in, d_out, dw);
  } else if (s.out_channels == 16) {
    Fixed<16>::WeightGradient(s, interior, in, d_out, dw);
  } else if (s.out_channels == 32) {
    Fixed<32>::WeightGradient(s, interior, in, d_out, dw);
  } else if (weights) {
    AnyWidth::WeightGradient(s, interior, in, d_out, dw);
  }
  const std::size_t width = s.kernel * s.in_channels;
  const bool inputs = d_in != nullptr && width <= 4096;
  if (inputs) InputGradient(s, interior, d_out, w, d_in);
  for (std::size_t p = 0; p < s.out_positions; ++p) {
    const bool inside = p >= interior.first && p < interior.end;
    if (inside && weights && (inputs || d_in == nullptr)) {  // nothing is left until its end
      p = interior.end - 1;
      continue;
    }
    const Taps taps = TapsOf(s, p);
    const float* const d = d_out + p * s.out_channels;
    if (!inside || !weights) {
      for (std::size_t j = 0; j < taps.count; ++j) {
        const float x = in[taps.input + j];
        float* const row = dw + (taps.first + j) * s.out_channels;
        for (std::size_t u = 0; u < s.out_channels; ++u) row[u] += x * d[u];
      }
    }
    if (d_in == nullptr || (inside && inputs)) continue;
    float* const to = d_in + taps.input;
    for (std::size_t u = 0; u < s.out_channels; ++u) {
      const float* const row = w + u * width + taps.first;
      for (std::size_t j = 0; j < taps.count; ++j) to[j] += d[u] * row[j];
    }
  }
}
