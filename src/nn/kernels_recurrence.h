// A part of kernels_impl.h, included in the middle of its namespaces: not for anybody else.
//
// The recurrence of one window. Its weights are read once a tick, and do not fit the first
// cache: so the gates of some units are summed up and activated at once, and each tick begins with
// the weights that the one before it ended with.

template <std::size_t panels>
void RecurrencePanels(std::size_t units, std::size_t at, const float* w, const float* h,
                      float* gates, const float* before, float* cells, float* tanh_cells,
                      float* out) {
  Vector sum[4][panels];
  for (std::size_t g = 0; g < 4; ++g) {
    for (std::size_t v = 0; v < panels; ++v) {
      sum[g][v] = Load<Vector>(gates + g * units + at + v * kLanes);
    }
  }
  for (std::size_t k = 0; h != nullptr && k < units; ++k) {
    const float* const row = w + k * 4 * units + at;
    const float x = h[k];
    for (std::size_t g = 0; g < 4; ++g) {
      for (std::size_t v = 0; v < panels; ++v) {
        sum[g][v] += x * Load<Vector>(row + g * units + v * kLanes);
      }
    }
  }
  for (std::size_t v = 0; v < panels; ++v) {
    const std::size_t u = at + v * kLanes;
    const Vector i = SigmoidOf(sum[0][v]), f = SigmoidOf(sum[1][v]);
    const Vector g = TanhOf(sum[2][v]), o = SigmoidOf(sum[3][v]);
    Vector cell = i * g;
    if (before != nullptr) cell += f * Load<Vector>(before + u);
    const Vector tanh_cell = TanhOf(cell);
    Store(gates + u, i);
    Store(gates + units + u, f);
    Store(gates + 2 * units + u, g);
    Store(gates + 3 * units + u, o);
    Store(cells + u, cell);
    Store(tanh_cells + u, tanh_cell);
    Store(out + u, o * tanh_cell);
  }
}

bool Recurrence(std::size_t ticks, std::size_t units, const float* w, float* gates, float* cells,
                float* tanh_cells, float* out) {
  if (units % kLanes != 0) return false;
  // Two panels are 8 sums at once, enough to keep both multipliers busy.
  const std::size_t steps = (units + 2 * kLanes - 1) / (2 * kLanes);
  for (std::size_t t = 0; t < ticks; ++t) {
    for (std::size_t i = 0; i < steps; ++i) {
      const std::size_t at = (t % 2 == 0 ? i : steps - 1 - i) * 2 * kLanes;
      const float* const h = t == 0 ? nullptr : out + (t - 1) * units;
      const float* const before = t == 0 ? nullptr : cells + (t - 1) * units;
      const std::size_t now = t * units;
      if (at + 2 * kLanes <= units) {
        RecurrencePanels<2>(units, at, w, h, gates + 4 * now, before, cells + now, tanh_cells + now,
                            out + now);
      } else {
        RecurrencePanels<1>(units, at, w, h, gates + 4 * now, before, cells + now, tanh_cells + now,
                            out + now);
      }
    }
  }
  return true;
}
