// The life of a row: tiles of pixels by channels, each multiplied and finished in registers.
// Every instruction set includes this file into its own anonymous namespace, with its vector
// type V. Nothing here may call a template or inline function that other files instantiate
// too: the linker keeps one copy, and that could be this one, of too new an instruction set.
//
// V offers   Int, Float, Words  vectors: `lanes` int32, `lanes` float, 2 * `lanes` int16
//            pixels, vectors    largest tile; pixels is at most 14
//            group              pixels that are finished together; at least `pixels`
//            broadcast(p)       four bytes of input, to all lanes
//            weights(p)         four weights per lane
//            dot(acc, x, w)     acc + sum of four products, per lane
//            narrow(a, b)       two Int to Words, saturating, in the order that Row tells
//            store_bytes        the Words of two pixels, saturating to 0..255
//            unpack             bytes to two Float of 2**23 + byte, inverse to that order
//            kNarrow            whether there is Narrow: a dot() that sums in int16, zero() and
//                               widen(); and dot_two(), of two quads whose sums fit int16, in
//                               tiles of pair_pixels, which leave registers for both weights
//            kSingle            whether a last vector may be without a partner: then there are
//                               store_single, of the Words of two pixels' vectors of this kind,
//                               and to_floats, bytes to a Float in their own order
//            times_power(p, t)  p * 2**n, where the lowest bits of t hold the whole number n
//            and elementary operations.

#define LBW_UNROLL _Pragma("GCC unroll 64")

// An opaque copy: keeps the compiler from turning few address registers into many.
template <class T>
static inline T opaque(T value) {
  asm("" : "+r"(value));
  return value;
}

// Addresses of up to 14 pixels from 2 pointers and 3 steps, as x86 can add them.
struct Pixels {
  const uint8_t* low;
  const uint8_t* high;
  std::ptrdiff_t one, three, five;

  Pixels(const uint8_t* x, std::ptrdiff_t step)
      : low(x), high(x + 7 * step), one(step), three(opaque(3 * step)), five(opaque(5 * step)) {}

  inline const uint8_t* at(int pixel) const {
    const uint8_t* base = pixel < 7 ? low : high;
    switch (pixel % 7) {
      case 0: return base;
      case 1: return base + one;
      case 2: return base + 2 * one;
      case 3: return base + three;
      case 4: return base + 4 * one;
      case 5: return base + five;
      default: return base + 2 * three;
    }
  }
};

// One quad of all pixels. `ahead` is fetched for the tile to come.
template <class V, int P, int C>
static inline void step(typename V::Int (&acc)[P][C], const Pixels& pixels, const int8_t* weight,
                        int quad, const uint8_t* ahead) {
  asm volatile("" ::: "memory");  // no loads of a step before its turn: registers are few
  __builtin_prefetch(ahead);
  decltype(V::weights(weight)) w[C];
  LBW_UNROLL for (int c = 0; c < C; ++c) w[c] = V::weights(weight + (quad * C + c) * V::lanes * 4);
  LBW_UNROLL for (int p = 0; p < P; ++p) {
    const auto value = V::broadcast(pixels.at(p) + quad * 4);
    LBW_UNROLL for (int c = 0; c < C; ++c) acc[p][c] = V::dot(acc[p][c], value, w[c]);
  }
}

// Two quads per turn of the loop: its counters compete with the multiplications for ports.
template <class V, int P, int C>
static inline void accumulate(typename V::Int (&acc)[P][C], const Row& row, const uint8_t* x,
                              const int8_t* weight) {
  constexpr int kQuadBytes = C * V::lanes * 4;
  const std::ptrdiff_t ahead_step = P * row.ahead;
  for (int run = 0; run < row.run_count; ++run) {
    Pixels pixels(x + row.runs[run], row.x_column);
    const uint8_t* ahead = pixels.low + P * row.x_column;
    for (int pair = row.quads / 2; pair > 0; --pair) {
      step<V, P, C>(acc, pixels, weight, 0, ahead);
      step<V, P, C>(acc, pixels, weight, 1, ahead + ahead_step);
      weight += 2 * kQuadBytes;
      pixels.low += 8;
      pixels.high += 8;
      ahead += 2 * ahead_step;
    }
    if (row.quads % 2) {
      step<V, P, C>(acc, pixels, weight, 0, ahead);
      weight += kQuadBytes;
    }
  }
}

// Some quads of tiles of P pixels by C vectors of channels, in an order of their own: first those that
// are added in int16, two by two. Accumulators begin with `from`, and end in `sums`.
struct Pairs {
  const int32_t* offset;  // of each quad's input
  const int8_t* weight;   // of the first quad
  int pairs, singles;
  const int32_t* from;
  std::ptrdiff_t from_step;  // from a pixel's to the next one's
  int32_t* sums;             // [pixel][vector][lane]
  std::ptrdiff_t ahead, ahead_step;  // what to fetch for later: from the first pixel; per pair
};

template <class V, int P, int C>
static void multiply_pairs(const Pairs& job, const uint8_t* x, std::ptrdiff_t x_column,
                           int tiles) {
  constexpr int kQuadBytes = C * V::lanes * 4;
  const std::ptrdiff_t ahead_step = job.ahead_step;
  const int32_t* from = job.from;
  int32_t* sums = job.sums;
  for (; tiles > 0; --tiles, x += P * x_column) {
    typename V::Int acc[P][C];
    LBW_UNROLL for (int p = 0; p < P; ++p)
      LBW_UNROLL for (int c = 0; c < C; ++c)
        acc[p][c] = V::load_int(from + p * job.from_step + c * V::lanes);
    Pixels first(x, x_column), second = first;
    const int8_t* weight = job.weight;
    const int32_t* offset = job.offset;
    const uint8_t* ahead = x + job.ahead;
    for (int pair = job.pairs; pair > 0; --pair) {
      asm volatile("" ::: "memory");  // see step()
      __builtin_prefetch(ahead);
      first.low = x + offset[0], second.low = x + offset[1];
      typename V::Int w[2][C];
      LBW_UNROLL for (int c = 0; c < C; ++c) {
        w[0][c] = V::weights(weight + c * V::lanes * 4);
        w[1][c] = V::weights(weight + kQuadBytes + c * V::lanes * 4);
      }
      LBW_UNROLL for (int p = 0; p < P; ++p) {
        const auto a = V::broadcast(first.at(p)), b = V::broadcast(second.at(p));
        LBW_UNROLL for (int c = 0; c < C; ++c)
          acc[p][c] = V::dot_two(acc[p][c], a, w[0][c], b, w[1][c]);
      }
      weight += 2 * kQuadBytes;
      offset += 2;
      ahead += ahead_step;
    }
    for (int quad = job.singles; quad > 0; --quad) {
      asm volatile("" ::: "memory");
      first.low = x + *offset++;
      typename V::Int w[C];
      LBW_UNROLL for (int c = 0; c < C; ++c) w[c] = V::weights(weight + c * V::lanes * 4);
      LBW_UNROLL for (int p = 0; p < P; ++p) {
        const auto value = V::broadcast(first.at(p));
        LBW_UNROLL for (int c = 0; c < C; ++c) acc[p][c] = V::dot(acc[p][c], value, w[c]);
      }
      weight += kQuadBytes;
    }
    LBW_UNROLL for (int p = 0; p < P; ++p)
      LBW_UNROLL for (int c = 0; c < C; ++c)
        V::store_int(sums + (p * C + c) * V::lanes, acc[p][c]);
    sums += P * C * V::lanes;
    from += P * job.from_step;
  }
}

using MultiplyPairs = void (*)(const Pairs& job, const uint8_t* x, std::ptrdiff_t x_column,
                               int tiles);

template <class V, int C, int... P>
static MultiplyPairs choose_pairs(int pixels, std::integer_sequence<int, P...>) {
  static constexpr MultiplyPairs table[] = {multiply_pairs<V, P + 1, C>...};
  return table[pixels - 1];
}

template <class V>
static MultiplyPairs multiply_pairs_of(int pixels, int vectors) {
  constexpr auto kSizes = std::make_integer_sequence<int, V::pair_pixels>();
  static_assert(V::vectors == 2);
  return vectors == 2 ? choose_pairs<V, 2>(pixels, kSizes) : choose_pairs<V, 1>(pixels, kSizes);
}

// The same with sums in int16 for stretches of quads, then widened and added up in memory: the first
// to `start`, of the channels.
template <class V, int P, int C>
static inline void accumulate_narrow(int32_t* sums, const Row& row, const uint8_t* x,
                                     const int8_t* weight, const uint16_t* stretch,
                                     const int32_t* start) {
  using Narrow = typename V::Narrow;
  const std::ptrdiff_t ahead_step = P * row.ahead;
  const int32_t* from = start;
  std::ptrdiff_t from_step = 0;
  for (int run = 0; run < row.run_count; ++run) {
    Pixels pixels(x + row.runs[run], row.x_column);
    const uint8_t* ahead = pixels.low + P * row.x_column;
    for (int left = row.quads; left > 0; left -= *stretch++) {
      typename V::Int acc[P][C];
      LBW_UNROLL for (int p = 0; p < P; ++p)
        LBW_UNROLL for (int c = 0; c < C; ++c) acc[p][c] = Narrow::zero();
      for (int quad = *stretch; quad > 0; --quad) {
        step<Narrow, P, C>(acc, pixels, weight, 0, ahead);
        weight += C * V::lanes * 4;
        pixels.low += 4;
        pixels.high += 4;
        ahead += ahead_step;
      }
      LBW_UNROLL for (int p = 0; p < P; ++p)
        LBW_UNROLL for (int c = 0; c < C; ++c) {
          const auto before = V::load_int(from + p * from_step + c * V::lanes);
          V::store_int(sums + (p * C + c) * V::lanes, Narrow::widen(before, acc[p][c]));
        }
      from = sums, from_step = C * V::lanes;
    }
  }
}

#include "finish.inl"

template <class V, int P, int C>
static void multiply(const Row& row, const int8_t* weight, int column, int channel,
                     int32_t* sums) {
  if (row.r && column + 2 * P <= row.columns)
    LBW_UNROLL for (int p = 0; p < P; ++p)
      __builtin_prefetch(row.r + row.r_columns[column + P + p] + channel);
  const uint8_t* x = row.x + column * row.x_column;
  const int32_t* start = row.start + channel;
  if constexpr (V::kNarrow) {
    if (row.stretches) {
      const uint16_t* stretch = row.stretches[channel / (V::vectors * V::lanes)];
      return accumulate_narrow<V, P, C>(sums, row, x, weight, stretch, start);
    }
  }
  typename V::Int acc[P][C];
  LBW_UNROLL for (int p = 0; p < P; ++p)
    LBW_UNROLL for (int c = 0; c < C; ++c) acc[p][c] = V::load_int(start + c * V::lanes);
  accumulate<V, P, C>(acc, row, x, weight);
  LBW_UNROLL for (int p = 0; p < P; ++p)
    LBW_UNROLL for (int c = 0; c < C; ++c)
      V::store_int(sums + (p * C + c) * V::lanes, acc[p][c]);
}

using Multiply = void (*)(const Row& row, const int8_t* weight, int column, int channel,
                          int32_t* sums);

template <class V, int C, int... P>
static Multiply choose(int pixels, std::integer_sequence<int, P...>) {
  static constexpr Multiply table[] = {multiply<V, P + 1, C>...};
  return table[pixels - 1];
}

template <class V, int C = V::vectors>
static Multiply multiply_of(int pixels, int vectors) {
  if constexpr (C > 1)
    if (vectors < C) return multiply_of<V, C - 1>(pixels, vectors);
  return choose<V, C>(pixels, std::make_integer_sequence<int, V::pixels>());
}

// The products of all tiles of a group with one block of channels, to `sums`, by pairs of quads.
// Some quads at a time: their weights, and what of the pixels meets them, stay in the
// first-level cache.
template <class V>
static void multiply_group_by_pairs(const Row& row, const Tile& tile, const int8_t* weight,
                                    int tiles, int narrow, int wide, int32_t* sums) {
  constexpr int kQuads = 128;
  const int block = tile.channel / (V::vectors * V::lanes), all = row.run_count * row.quads;
  const std::ptrdiff_t pixel = tile.vectors * V::lanes;
  const MultiplyPairs of_narrow = multiply_pairs_of<V>(narrow, tile.vectors);
  const MultiplyPairs of_wide = wide ? multiply_pairs_of<V>(narrow + 1, tile.vectors) : nullptr;
  Pairs job{};
  job.offset = row.quad_offsets + static_cast<std::ptrdiff_t>(block) * all;
  job.weight = weight;
  for (int begin = 0; begin < all; begin += kQuads) {
    const int quads = all - begin < kQuads ? all - begin : kQuads;
    const int paired = 2 * row.pairs[block] - begin;
    job.pairs = (paired < 0 ? 0 : paired < quads ? paired : quads) / 2;
    job.singles = quads - 2 * job.pairs;
    job.sums = sums;
    job.from = begin ? sums : row.start + tile.channel;
    job.from_step = begin ? pixel : 0;
    const uint8_t* x = row.x + tile.column * row.x_column;
    const auto some = [&](MultiplyPairs multiply, int size, int count) {
      job.ahead = tile.pixels * row.x_column + begin * size * row.ahead;
      job.ahead_step = 2 * size * row.ahead;
      multiply(job, x, row.x_column, count);
      x += count * size * row.x_column;
      job.sums += count * size * pixel;
      job.from += count * size * job.from_step;
    };
    if (wide > 0) some(of_wide, narrow + 1, wide);
    if (tiles > wide) some(of_narrow, narrow, tiles - wide);
    job.offset += quads;
    job.weight += quads * pixel * 4;
  }
}

// The same by pairs if there are some; if not, quad after quad.
template <class V>
static void multiply_group(const Row& row, const Tile& tile, const int8_t* weight, int tiles,
                           int narrow, int wide, int32_t* sums) {
  if constexpr (V::kNarrow)
    if (row.pairs)
      return multiply_group_by_pairs<V>(row, tile, weight, tiles, narrow, wide, sums);
  for (int t = 0, column = tile.column; t < tiles; ++t) {
    const int size = narrow + (t < wide);
    multiply_of<V>(size, tile.vectors)(row, weight, column, tile.channel, sums);
    column += size;
    sums += size * tile.vectors * V::lanes;
  }
}

// Tiles of equal width, give or take a pixel: a narrow last tile would idle the multipliers.
// Some tiles are finished together, as many as keep their input in the first-level cache; all
// blocks of channels of them follow each other, so that pixels are written from end to end.
template <class V>
static void run_row(const Row& row) {
  constexpr int kInputBytes = 8192;
  alignas(64) int32_t sums[V::group * V::vectors * V::lanes];
  int pixels = V::pixels;
  if constexpr (V::kNarrow)
    if (row.pairs) pixels = V::pair_pixels;
  const int width = V::vectors * V::lanes, tiles = (row.columns + pixels - 1) / pixels;
  const int narrow = row.columns / tiles, wide_tiles = row.columns % tiles;
  int together = V::group / pixels;
  if (!row.pairs) {
    const int fit = kInputBytes / (row.run_count * row.quads * 4 * pixels);
    if (fit < together) together = fit < 1 ? 1 : fit;
  }
  Tile tile{sums, 0, 0, 0, 0, 0};
  for (int first = 0; first < tiles; first += together, tile.column += tile.pixels) {
    const int count = tiles - first < together ? tiles - first : together;
    const int wide = wide_tiles < first ? 0 : wide_tiles - first < count ? wide_tiles - first : count;
    tile.pixels = count * narrow + wide;
    const int8_t* weight = row.weight;
    for (tile.channel = 0; tile.channel < row.channels; tile.channel += width) {
      const int rest = row.channels - tile.channel;
      tile.channels = rest < width ? rest : width;
      tile.vectors = (tile.channels + V::lanes - 1) / V::lanes;
      if (!row.y_float && !V::kSingle) tile.vectors += tile.vectors % 2;
      multiply_group<V>(row, tile, weight, count, narrow, wide, sums);
      finish<V>(row, tile);
      weight += static_cast<std::ptrdiff_t>(width) * row.run_count * row.quads * 4;
    }
  }
}

// What a kernel with these vectors tells about itself.
template <class V>
static constexpr Kernel kernel_of(int flip, const WinogradKernel* winograd,
                                  void (*depthwise)(const DepthwiseRow&) = nullptr) {
  return {V::lanes, V::vectors, V::kNarrow, V::kSingle, flip, run_row<V>, winograd, depthwise};
}
