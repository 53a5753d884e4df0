// The life of a row: tiles of pixels by channels, each multiplied and finished in registers.
// Every instruction set includes this file into its own anonymous namespace, with its vector
// type V. Nothing here may call a template or inline function that other files instantiate
// too: the linker keeps one copy, and that could be this one, of too new an instruction set.
//
// V offers   Int, Float         vectors of `lanes` int32, float
//            pixels, vectors    largest tile
//            broadcast(p)       four bytes of input, to all lanes
//            weights(p)         four weights per lane
//            dot(acc, x, w)     acc + sum of four products, per lane
//            and the elementary operations that finish() spells out.

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

template <class V, int P, int C>
static inline void accumulate(typename V::Int (&acc)[P][C], const uint8_t* x, const Row& row) {
  const int8_t* weight = row.weight;
  for (int run = 0; run < row.run_count; ++run) {
    Pixels pixels(x + row.runs[run], row.x_column);
    for (int quad = 0; quad < row.quads; ++quad) {
      decltype(V::weights(weight)) w[C];
      LBW_UNROLL for (int c = 0; c < C; ++c) w[c] = V::weights(weight + c * V::lanes * 4);
      LBW_UNROLL for (int p = 0; p < P; ++p) {
        const auto value = V::broadcast(pixels.at(p));
        LBW_UNROLL for (int c = 0; c < C; ++c) acc[p][c] = V::dot(acc[p][c], value, w[c]);
      }
      weight += C * V::lanes * 4;
      pixels.low += 4;
      pixels.high += 4;
    }
  }
}

// A vector of accumulators to outputs.
template <class V>
struct Finish {
  using Int = typename V::Int;
  using Float = typename V::Float;
  const Row& row;
  const Float low, high, ratio;
  const Int zero, zero_residual;

  explicit Finish(const Row& row)
      : row(row), low(V::splat(row.low)), high(V::splat(row.high)), ratio(V::splat(row.ratio)),
        zero(V::splat_int(row.zero)), zero_residual(V::splat_int(row.zero_residual)) {}

  // Of the pixel in this column, `count` channels from `first` on.
  inline void operator()(Int sum, Float multiplier, Float offset, int column, int first,
                         int count) const {
    Float t = V::add(V::mul(V::to_float(sum), multiplier), offset);
    if (row.y_float) {
      V::store(row.y_float + column * row.y_column + first, V::max(t, low), count);
      return;
    }
    if (row.r) {
      const Int r = V::load_u8(row.r + row.r_columns[column] + first, count);
      t = V::add(t, V::mul(V::to_float(V::sub(r, zero_residual)), ratio));
    }
    // The limits are integers: clamping before rounding is the same, and keeps int32 from
    // overflowing whatever the multiplier is.
    t = V::min(V::max(t, low), high);
    const Int q = V::add(row.ceil ? V::round_up(t) : V::round(t), zero);
    V::store_u8(row.y + column * row.y_column + first, q, count);
  }
};

static inline int lanes_used(const Row& row, int first, int lanes) {
  return row.channels - first < lanes ? row.channels - first : lanes;
}

// The accumulators of a tile come through memory, in the first-level cache: the multiplying
// loop then owns all registers, and this one is compiled once, not per tile.
template <class V>
__attribute__((noinline)) static void finish(const int32_t* acc, const Row& row, int column,
                                             int pixels, int vectors) {
  const Finish<V> finished(row);
  for (int c = 0; c < vectors; ++c) {
    const int first = c * V::lanes, count = lanes_used(row, first, V::lanes);
    const auto multiplier = V::load(row.multiplier + first), offset = V::load(row.offset + first);
    for (int p = 0; p < pixels; ++p)
      finished(V::load_int(acc + (p * vectors + c) * V::lanes), multiplier, offset, column + p,
               first, count);
  }
}

template <class V, int P, int C>
static void tile(const Row& row, int column) {
  typename V::Int acc[P][C];
  LBW_UNROLL for (int c = 0; c < C; ++c) {
    const typename V::Int start = V::load_int(row.start + c * V::lanes);
    LBW_UNROLL for (int p = 0; p < P; ++p) acc[p][c] = start;
  }
  accumulate<V, P, C>(acc, row.x + column * row.x_column, row);
  alignas(64) int32_t sums[P * C * V::lanes];
  LBW_UNROLL for (int p = 0; p < P; ++p)
    LBW_UNROLL for (int c = 0; c < C; ++c)
      V::store_int(sums + (p * C + c) * V::lanes, acc[p][c]);
  finish<V>(sums, row, column, P, C);
}

using TileFunction = void (*)(const Row& row, int column);

template <class V, int C, int... P>
struct Tiles {
  static constexpr TileFunction table[] = {tile<V, P, C>...};
};

template <class V, int C>
static TileFunction tile_of(int pixels) {
  static_assert(V::pixels <= 14, "a Pixels object addresses 14 pixels");
  if constexpr (V::pixels == 14)
    return Tiles<V, C, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table[pixels - 1];
  else if constexpr (V::pixels == 6)
    return Tiles<V, C, 1, 2, 3, 4, 5, 6>::table[pixels - 1];
  else
    return Tiles<V, C, 1, 2, 3, 4>::table[pixels - 1];
}

// Tiles of equal width, give or take a pixel: a narrow last tile would idle the multipliers.
template <class V>
static void run_row(const Row& row) {
  const int vectors = (row.channels + V::lanes - 1) / V::lanes;
  const int tiles = (row.columns + V::pixels - 1) / V::pixels;
  const int narrow = row.columns / tiles, wide_tiles = row.columns % tiles;
  int column = 0;
  for (int t = 0; t < tiles; ++t) {
    const int width = narrow + (t < wide_tiles);
    TileFunction function;
    if constexpr (V::vectors == 1) {
      function = tile_of<V, 1>(width);
    } else if constexpr (V::vectors == 2) {
      function = vectors == 2 ? tile_of<V, 2>(width) : tile_of<V, 1>(width);
    } else {
      static_assert(V::vectors == 4);
      function = vectors == 4   ? tile_of<V, 4>(width)
                 : vectors == 3 ? tile_of<V, 3>(width)
                 : vectors == 2 ? tile_of<V, 2>(width)
                                : tile_of<V, 1>(width);
    }
    function(row, column);
    column += width;
  }
}
