// The Winograd kernel of one instruction set, included like row.inl, and after it. See winograd.h.
//
// V is the vector type of row.inl and offers besides
//   Short           vector of 2 * lanes int16
//   widen(p)        2 * lanes bytes to int16
//   store_short, add_short, sub_short, shift_short<n>
//   splat_int, add_int, sub_int, shift<n>, shift_right(a, n), multiply on Int
//   dot_pairs(acc, x, w)   acc + sum of two products of int16, per lane, modulo 2^32

template <class V>
static inline void transform_input(const typename V::Short (&d)[6], typename V::Short (&r)[6]) {
  using S = typename V::Short;
  const S four_1 = V::template shift_short<2>(d[1]), four_2 = V::template shift_short<2>(d[2]);
  const S four_3 = V::template shift_short<2>(d[3]);
  r[0] = V::sub_short(V::add_short(V::template shift_short<2>(d[0]), d[4]),
                      V::add_short(four_2, d[2]));
  r[5] = V::sub_short(V::add_short(four_1, d[5]), V::add_short(four_3, d[3]));
  const S even = V::sub_short(d[4], four_2), odd = V::sub_short(d[3], four_1);
  r[1] = V::add_short(even, odd);
  r[2] = V::sub_short(even, odd);
  const S near = V::sub_short(d[4], d[2]), half = V::sub_short(d[3], d[1]);
  const S far = V::add_short(half, half);
  r[3] = V::add_short(near, far);
  r[4] = V::sub_short(near, far);
}

template <class V>
static inline void transform_output(const typename V::Int (&m)[6], typename V::Int (&r)[4]) {
  using I = typename V::Int;
  const I p = V::add_int(m[1], m[2]), u = V::sub_int(m[1], m[2]);
  const I q = V::add_int(m[3], m[4]), v = V::sub_int(m[3], m[4]);
  const I six_0 = V::add_int(V::template shift<2>(m[0]), V::template shift<1>(m[0]));
  const I six_5 = V::add_int(V::template shift<2>(m[5]), V::template shift<1>(m[5]));
  r[0] = V::add_int(six_0, V::add_int(V::template shift<2>(p), q));
  r[1] = V::add_int(V::template shift<1>(u), v);
  r[2] = V::add_int(p, q);
  r[3] = V::add_int(V::add_int(u, V::template shift<1>(v)), six_5);
}

template <class V>
static void transform_tile(const Winograd& job, int tile, int16_t* target) {
  using S = typename V::Short;
  constexpr int step = 2 * V::lanes;
  const int top = tile / job.tiles_x * 4 - 1, left = tile % job.tiles_x * 4 - 1;
  const uint8_t* pixel[36];
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j) {
      // What lies beyond the border only meets outputs that are not wanted.
      const int y = top + i < job.height ? top + i : job.height;
      const int x = left + j < job.width ? left + j : job.width;
      pixel[i * 6 + j] = job.x + y * job.x_row + static_cast<std::ptrdiff_t>(x) * job.in_channels;
    }
  for (int c = 0; c < job.in_channels; c += step) {
    S rows[6][6];
    LBW_UNROLL for (int j = 0; j < 6; ++j) {
      S d[6], r[6];
      LBW_UNROLL for (int i = 0; i < 6; ++i) d[i] = V::widen(pixel[i * 6 + j] + c);
      transform_input<V>(d, r);
      LBW_UNROLL for (int i = 0; i < 6; ++i) rows[i][j] = r[i];
    }
    LBW_UNROLL for (int i = 0; i < 6; ++i) {
      S r[6];
      transform_input<V>(rows[i], r);
      LBW_UNROLL for (int j = 0; j < 6; ++j)
        V::store_short(target + (i * 6 + j) * job.scratch.v_step + c, r[j]);
    }
  }
}

// P tiles by two vectors of channels: one of the 36 products.
template <class V, int P>
static void multiply_tiles(const int16_t* v, std::ptrdiff_t v_tile, const int16_t* weight,
                           int pairs, int32_t* m) {
  typename V::Int acc[P][2];
  LBW_UNROLL for (int p = 0; p < P; ++p) acc[p][0] = acc[p][1] = V::splat_int(0);
  Pixels tiles(reinterpret_cast<const uint8_t*>(v), v_tile * 2);
  const int8_t* w = reinterpret_cast<const int8_t*>(weight);
  for (int pair = 0; pair < pairs; ++pair) {
    const typename V::Int w0 = V::weights(w), w1 = V::weights(w + V::lanes * 4);
    LBW_UNROLL for (int p = 0; p < P; ++p) {
      const typename V::Int x = V::broadcast(tiles.at(p));
      acc[p][0] = V::dot_pairs(acc[p][0], x, w0);
      acc[p][1] = V::dot_pairs(acc[p][1], x, w1);
    }
    w += V::lanes * 8;
    tiles.low += 4;
    tiles.high += 4;
  }
  LBW_UNROLL for (int p = 0; p < P; ++p) {
    V::store_int(m + p * 2 * V::lanes, acc[p][0]);
    V::store_int(m + p * 2 * V::lanes + V::lanes, acc[p][1]);
  }
}

using TileProduct = void (*)(const int16_t*, std::ptrdiff_t, const int16_t*, int, int32_t*);

template <class V, int... P>
struct TileProducts {
  static constexpr TileProduct table[] = {multiply_tiles<V, P>...};
};

template <class V>
static TileProduct tile_product_of(int tiles) {
  if constexpr (V::pixels == 14)
    return TileProducts<V, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table[tiles - 1];
  else
    return TileProducts<V, 1, 2, 3, 4, 5, 6>::table[tiles - 1];
}

// The 36 products of one tile and both vectors of channels, to 4 rows of sums of its outputs.
template <class V>
static void transform_products(const Winograd& job, const int32_t* m, int channel, int32_t* sums,
                               std::ptrdiff_t row_step) {
  using I = typename V::Int;
  static const int shifts[4] = {3, 2, 1, 1};
  const I inverse_9 = V::splat_int(0x38E38E39);
  for (int first = 0; first < 2 * V::lanes; first += V::lanes) {
    const I start = V::load_int(job.row.start + channel + first);
    I columns[4][6];
    LBW_UNROLL for (int j = 0; j < 6; ++j) {
      I d[6], r[4];
      LBW_UNROLL for (int i = 0; i < 6; ++i)
        d[i] = V::load_int(m + (i * 6 + j) * job.scratch.m_step + first);
      transform_output<V>(d, r);
      LBW_UNROLL for (int i = 0; i < 4; ++i) columns[i][j] = r[i];
    }
    LBW_UNROLL for (int i = 0; i < 4; ++i) {
      I r[4];
      transform_output<V>(columns[i], r);
      LBW_UNROLL for (int j = 0; j < 4; ++j) {
        const I sum = V::shift_right(V::multiply(r[j], inverse_9), shifts[i] + shifts[j]);
        V::store_int(sums + i * row_step + j * 2 * V::lanes + first, V::add_int(sum, start));
      }
    }
  }
}

// Neighbours of one row of tiles, and both vectors of channels, to outputs: long rows of pixels
// are finished faster than short ones.
template <class V>
static void finish_tiles(const Winograd& job, const int32_t* m, int tile, int count, int channel) {
  constexpr std::ptrdiff_t kTileSums = 4 * 2 * V::lanes;
  constexpr std::ptrdiff_t kRowSums = V::group / 4 * kTileSums;
  alignas(64) int32_t sums[4 * kRowSums];
  for (int t = 0; t < count; ++t)
    transform_products<V>(job, m + t * 2 * V::lanes, channel, sums + t * kTileSums, kRowSums);
  const int top = tile / job.tiles_x * 4, left = tile % job.tiles_x * 4;
  const int high = job.height - top < 4 ? job.height - top : 4;
  const int wide = job.width - left < 4 * count ? job.width - left : 4 * count;
  Row row = job.row;
  for (int i = 0; i < high; ++i) {
    row.y = job.row.y + (top + i) * job.y_row;
    if (job.r_rows) row.r = job.row.r + job.r_rows[top + i];
    finish<V>(row, Tile{sums + i * kRowSums, wide, 2, left, channel, job.channels - channel});
  }
}

template <class V>
static void run_winograd(const Winograd& job) {
  constexpr int width = 2 * V::lanes;
  const WinogradScratch& s = job.scratch;
  for (int t = 0; t < job.tiles; ++t)
    transform_tile<V>(job, job.first_tile + t, s.v + t * s.v_tile);
  const int panels = (job.tiles + V::pixels - 1) / V::pixels;
  for (int block = 0; block < job.blocks; ++block) {
    const int16_t* weight = job.weight + block * job.block_size;
    for (int product = 0; product < 36; ++product) {
      const int16_t* v = s.v + product * s.v_step;
      int32_t* m = s.m + product * s.m_step;
      for (int p = 0, t = 0; p < panels; ++p) {
        const int size = job.tiles / panels + (p < job.tiles % panels);
        tile_product_of<V>(size)(v + t * s.v_tile, s.v_tile, weight, job.pairs, m + t * width);
        t += size;
      }
      weight += job.pairs * 2 * width;
    }
    for (int t = 0, count; t < job.tiles; t += count) {
      const int row_end = job.tiles_x - (job.first_tile + t) % job.tiles_x;
      count = row_end < job.tiles - t ? row_end : job.tiles - t;
      if (count > V::group / 4) count = V::group / 4;
      finish_tiles<V>(job, s.m + t * width, job.first_tile + t, count, block * width);
    }
  }
}
