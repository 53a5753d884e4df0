// The life of a row: tiles of pixels by channels, each multiplied and finished in registers.
// Every instruction set includes this file into its own anonymous namespace, with its vector
// type V. Nothing here may call a template or inline function that other files instantiate
// too: the linker keeps one copy, and that could be this one, of too new an instruction set.
//
// V offers   Int, Float, Words  vectors: `lanes` int32, `lanes` float, 2 * `lanes` int16
//            pixels, vectors    largest tile; pixels is at most 14
//            broadcast(p)       four bytes of input, to all lanes
//            weights(p)         four weights per lane
//            dot(acc, x, w)     acc + sum of four products, per lane
//            narrow(a, b)       two Int to Words, saturating, in the order that Row tells
//            store_bytes        the Words of two pixels, saturating to 0..255
//            unpack             bytes to two Float of 2**23 + byte, inverse to that order
//            narrow_quads       0, or there is Narrow: a dot() that sums in int16, zero() and
//                               widen(); used if so many quads fit int16 on average
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

// The same with sums in int16 for stretches of quads, then widened and added up in memory.
template <class V, int P, int C>
static inline void accumulate_narrow(int32_t* sums, const Row& row, const uint8_t* x,
                                     const int8_t* weight, const uint16_t* stretch) {
  using Narrow = typename V::Narrow;
  const std::ptrdiff_t ahead_step = P * row.ahead;
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
          int32_t* sum = sums + (p * C + c) * V::lanes;
          V::store_int(sum, Narrow::widen(V::load_int(sum), acc[p][c]));
        }
    }
  }
}

// The accumulators of a tile to outputs. They come through memory, in the first-level cache:
// the multiplying loop then owns all registers, and these are compiled once, not per tile.
struct Tile {
  const int32_t* sums;  // [pixel][vector][lane]
  int pixels, vectors;
  int column, channel;  // the first of each
  int channels;
};

template <class V>
__attribute__((noinline)) static void finish_float(const Row& row, const Tile& tile) {
  const typename V::Float low = V::splat(row.low_float);
  for (int c = 0; c < tile.vectors; ++c) {
    const int first = tile.channel + c * V::lanes, rest = tile.channels - c * V::lanes;
    for (int p = 0; p < tile.pixels; ++p) {
      const auto sum = V::load_int(tile.sums + (p * tile.vectors + c) * V::lanes);
      const auto t = V::add(V::mul(V::to_float(sum), V::load(row.multiplier + first)),
                            V::load(row.offset + first));
      V::store(row.y_float + (tile.column + p) * row.y_column + first, V::max(t, low),
               rest < V::lanes ? rest : V::lanes);
    }
  }
}

template <class V, bool kResidual, Range kRange>
__attribute__((noinline)) static void finish_bytes(const Row& row, const Tile& tile) {
  using Float = typename V::Float;
  using Words = typename V::Words;
  const Words zero = V::splat_words(row.zero), low = V::splat_words(row.low),
              high = V::splat_words(row.high);
  // Bytes become floats by unpacking: 0x4B000000 | r is 2**23 + r.
  const Float shift = V::splat(8388608.0f + row.zero_residual), ratio = V::splat(row.ratio);
  for (int c = 0; c < tile.vectors; c += 2) {
    const int first = tile.channel + c * V::lanes, rest = tile.channels - c * V::lanes;
    const int count = rest < 2 * V::lanes ? rest : 2 * V::lanes;
    const Float multiplier0 = V::load(row.multiplier + first);
    const Float multiplier1 = V::load(row.multiplier + first + V::lanes);
    const Float offset0 = V::load(row.offset + first);
    const Float offset1 = V::load(row.offset + first + V::lanes);
    const auto limited = [&](Words q) {
      return V::min_words(V::max_words(V::add_words(q, zero), low), high);
    };
    const auto words = [&](int p) {
      const int32_t* sums = tile.sums + (p * tile.vectors + c) * V::lanes;
      Float t0 = V::add(V::mul(V::to_float(V::load_int(sums)), multiplier0), offset0);
      Float t1 = V::add(V::mul(V::to_float(V::load_int(sums + V::lanes)), multiplier1), offset1);
      if (kResidual) {
        Float r0, r1;
        V::unpack(row.r + row.r_columns[tile.column + p] + first, count, r0, r1);
        t0 = V::add(t0, V::mul(V::sub(r0, shift), ratio));
        t1 = V::add(t1, V::mul(V::sub(r1, shift), ratio));
      }
      if (kRange == Range::any) {
        t0 = V::min(V::max(t0, V::splat(-32768.0f)), V::splat(32767.0f));
        t1 = V::min(V::max(t1, V::splat(-32768.0f)), V::splat(32767.0f));
        if (row.ceil) return limited(V::narrow(V::round_up(t0), V::round_up(t1)));
      }
      const Words q = V::narrow(V::round(t0), V::round(t1));
      return kRange == Range::bytes ? q : limited(q);
    };
    uint8_t* y = row.y + tile.column * row.y_column + first;
    for (int p = 0; p < tile.pixels; p += 2) {
      const int next = p + 1 < tile.pixels ? p + 1 : p;
      V::store_bytes(y + p * row.y_column, y + next * row.y_column, words(p), words(next), count);
    }
  }
}

template <class V, bool kResidual>
static inline void finish_bytes(const Row& row, const Tile& tile) {
  switch (row.range) {
    case Range::bytes: return finish_bytes<V, kResidual, Range::bytes>(row, tile);
    case Range::words: return finish_bytes<V, kResidual, Range::words>(row, tile);
    case Range::any: return finish_bytes<V, kResidual, Range::any>(row, tile);
  }
}

template <class V>
static inline void finish_function(const Row& row, const Tile& tile) {
  const int held = tile.vectors * V::lanes;
  const std::size_t count = tile.channels < held ? tile.channels : held;
  row.function({tile.sums, held, row.multiplier + tile.channel, row.offset + tile.channel,
                row.factor + tile.channel, *row.to, count, tile.pixels,
                row.y + tile.column * row.y_column + tile.channel, row.y_column});
}

template <class V>
static inline void finish(const Row& row, const Tile& tile) {
  if (row.function)
    finish_function<V>(row, tile);
  else if (row.y_float)
    finish_float<V>(row, tile);
  else if (row.r)
    finish_bytes<V, true>(row, tile);
  else
    finish_bytes<V, false>(row, tile);
}

template <class V, int P, int C>
static void multiply(const Row& row, const int8_t* weight, int column, int channel,
                     int32_t* sums) {
  if (row.r && column + 2 * P <= row.columns)
    LBW_UNROLL for (int p = 0; p < P; ++p)
      __builtin_prefetch(row.r + row.r_columns[column + P + p] + channel);
  const uint8_t* x = row.x + column * row.x_column;
  const int32_t* start = row.start + channel;
  if constexpr (V::narrow_quads > 0) {
    if (row.stretches) {
      for (int p = 0; p < P; ++p) __builtin_memcpy(sums + p * C * V::lanes, start, C * V::lanes * 4);
      const uint16_t* stretch = row.stretches[channel / (V::vectors * V::lanes)];
      return accumulate_narrow<V, P, C>(sums, row, x, weight, stretch);
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

// Tiles of equal width, give or take a pixel: a narrow last tile would idle the multipliers.
// All blocks of channels of a tile follow each other, while its input is in the first-level
// cache and its output pixels are written from end to end.
template <class V>
static void run_row(const Row& row) {
  alignas(64) int32_t sums[V::pixels * V::vectors * V::lanes];
  const int width = V::vectors * V::lanes, tiles = (row.columns + V::pixels - 1) / V::pixels;
  const int narrow = row.columns / tiles, wide_tiles = row.columns % tiles;
  Tile tile{sums, 0, 0, 0, 0, 0};
  for (int t = 0; t < tiles; ++t, tile.column += tile.pixels) {
    tile.pixels = narrow + (t < wide_tiles);
    const int8_t* weight = row.weight;
    for (tile.channel = 0; tile.channel < row.channels; tile.channel += width) {
      const int rest = row.channels - tile.channel;
      tile.channels = rest < width ? rest : width;
      tile.vectors = (tile.channels + V::lanes - 1) / V::lanes;
      if (!row.y_float && !row.function) tile.vectors += tile.vectors % 2;
      multiply_of<V>(tile.pixels, tile.vectors)(row, weight, tile.column, tile.channel, sums);
      finish<V>(row, tile);
      weight += static_cast<std::ptrdiff_t>(width) * row.run_count * row.quads * 4;
    }
  }
}

// What a kernel with these vectors tells about itself.
template <class V>
static constexpr Kernel kernel_of(int flip, const WinogradKernel* winograd) {
  return {V::lanes, V::vectors, V::narrow_quads, flip, run_row<V>, winograd};
}
