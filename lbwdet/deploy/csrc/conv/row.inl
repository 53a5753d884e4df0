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
  const Float shift = V::splat(8388608.0f + row.zero_residual);
  for (int c = 0; c < tile.vectors; c += 2) {
    const int first = tile.channel + c * V::lanes, rest = tile.channels - c * V::lanes;
    const int count = rest < 2 * V::lanes ? rest : 2 * V::lanes;
    const Float multiplier0 = V::load(row.multiplier + first);
    const Float multiplier1 = V::load(row.multiplier + first + V::lanes);
    const Float offset0 = V::load(row.offset + first);
    const Float offset1 = V::load(row.offset + first + V::lanes);
    Float ratio0 = shift, ratio1 = shift;
    if (kResidual) ratio0 = V::load(row.ratio + first), ratio1 = V::load(row.ratio + first + V::lanes);
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
        t0 = V::add(t0, V::mul(V::sub(r0, shift), ratio0));
        t1 = V::add(t1, V::mul(V::sub(r1, shift), ratio1));
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
    case Range::limits:
    case Range::any: return finish_bytes<V, kResidual, Range::any>(row, tile);
  }
}

// The function of runtime/arithmetic/silu.py, of `turns` times four vectors: real(pair, i) gives the
// two of each pair, done(turn, t) takes four results. In stages through memory: a processor looks at
// the next hundred instructions or so, which are few vectors if all steps of one follow each other,
// and each step waits for the last. Quotients of a turn wait while the next one's powers are computed.
template <class V, Range kRange, int kTurns, class Real, class Done>
__attribute__((always_inline)) static inline void silu(int turns, const Real& real,
                                                       const Done& done) {
  using Float = typename V::Float;
  const Float magic = V::splat(12582912.0f);  // 1.5 * 2**23: the sum has no place for a fraction
  Float t[4 * kTurns], whole[4 * kTurns], f[4 * kTurns];
  for (int pair = 0; pair < 2 * turns; ++pair)
    LBW_UNROLL for (int i = 0; i < 2; ++i) {
      const int at = 2 * pair + i;
      t[at] = real(pair, i);
      const Float limited = kRange < Range::limits
                                ? t[at]
                                : V::max(V::min(t[at], V::splat(87.0f)), V::splat(-87.0f));
      const Float y = V::mul(limited, V::splat(-1.4426950408889634f));
      whole[at] = V::add(y, magic);  // its lowest bits hold the whole number
      f[at] = V::sub(y, V::sub(whole[at], magic));
    }
  Float p[4];
  const auto power = [&](int turn) {
    const auto term = [&](float factor) {
      LBW_UNROLL for (int i = 0; i < 4; ++i)
        p[i] = V::add(V::mul(p[i], f[4 * turn + i]), V::splat(factor));
    };
    LBW_UNROLL for (int i = 0; i < 4; ++i) p[i] = V::splat(0.05517167f);
    term(0.24261112f);
    term(0.693261f);
    term(0.9999281f);
    LBW_UNROLL for (int i = 0; i < 4; ++i)
      p[i] = V::add(V::times_power(p[i], whole[4 * turn + i]), V::splat(1.0f));
  };
  power(0);
  for (int turn = 0; turn < turns; ++turn) {
    Float quotient[4];
    LBW_UNROLL for (int i = 0; i < 4; ++i) quotient[i] = V::div(t[4 * turn + i], p[i]);
    if (turn + 1 < turns) power(turn + 1);
    done(turn, quotient);
  }
}

// A vector without a partner, its channels in order: two pixels take the places of a pair.
template <class V, bool kResidual, Range kRange, bool kSilu>
__attribute__((noinline)) static void finish_single(const Row& row, const Tile& tile) {
  using Float = typename V::Float;
  using Words = typename V::Words;
  const int first = tile.channel, count = tile.channels, last = tile.pixels - 1;
  const Words zero = V::splat_words(row.zero), low = V::splat_words(row.low),
              high = V::splat_words(row.high);
  const Float shift = V::splat(static_cast<float>(row.zero_residual));
  const Float multiplier = V::load(row.multiplier + first), offset = V::load(row.offset + first);
  const Float factor = kSilu ? V::load(row.factor + first) : shift;
  const Float ratio = kResidual ? V::load(row.ratio + first) : shift;
  const auto pixel = [last](int p) { return p < last ? p : last; };
  const auto real = [&](int p) {
    const auto sum = V::load_int(tile.sums + p * V::lanes);
    return V::add(V::mul(V::to_float(sum), multiplier), offset);
  };
  const auto whole = [&](Float t, int p) {
    if (kSilu) t = V::mul(t, factor);
    if (kResidual) {
      const Float r = V::to_floats(row.r + row.r_columns[tile.column + p] + first, count);
      t = V::add(t, V::mul(V::sub(r, shift), ratio));
    }
    if (kRange != Range::any) return V::round(t);
    t = V::min(V::max(t, V::splat(-32768.0f)), V::splat(32767.0f));
    return row.ceil ? V::round_up(t) : V::round(t);
  };
  const auto store = [&](int p, Float a, Float b) {
    const int next = pixel(p + 1);
    Words q = V::narrow(whole(a, p), whole(b, next));
    if (kRange != Range::bytes) q = V::min_words(V::max_words(V::add_words(q, zero), low), high);
    uint8_t* const y = row.y + tile.column * row.y_column + first;
    V::store_single(y + p * row.y_column, y + next * row.y_column, q, count);
  };
  if constexpr (kSilu) {
    silu<V, kRange, (V::group + 3) / 4>(
        (tile.pixels + 3) / 4, [&](int pair, int i) { return real(pixel(2 * pair + i)); },
        [&](int turn, const Float(&t)[4]) {
          store(pixel(4 * turn), t[0], t[1]);
          store(pixel(4 * turn + 2), t[2], t[3]);
        });
  } else {
    for (int p = 0; p < tile.pixels; p += 2) store(p, real(p), real(pixel(p + 1)));
  }
}

template <class V, bool kResidual, Range kRange>
__attribute__((noinline)) static void finish_silu(const Row& row, const Tile& tile) {
  using Float = typename V::Float;
  using Words = typename V::Words;
  const Words zero = V::splat_words(row.zero), high = V::splat_words(row.high);
  const Float shift = V::splat(8388608.0f + row.zero_residual);  // see finish_bytes
  for (int c = 0; c < tile.vectors; c += 2) {
    const int first = tile.channel + c * V::lanes, rest = tile.channels - c * V::lanes;
    const int count = rest < 2 * V::lanes ? rest : 2 * V::lanes;
    const Float multiplier[2] = {V::load(row.multiplier + first),
                                 V::load(row.multiplier + first + V::lanes)};
    const Float offset[2] = {V::load(row.offset + first), V::load(row.offset + first + V::lanes)};
    const Float factor[2] = {V::load(row.factor + first), V::load(row.factor + first + V::lanes)};
    Float ratio[2] = {shift, shift};
    if (kResidual)
      ratio[0] = V::load(row.ratio + first), ratio[1] = V::load(row.ratio + first + V::lanes);
    uint8_t* const y = row.y + tile.column * row.y_column + first;
    // Two pixels a turn; a last one without partner is its own.
    const int last = tile.pixels - 1;
    const auto real = [&](int p, int i) {
      const int vector = (p < last ? p : last) * tile.vectors + c + i;
      const auto sum = V::load_int(tile.sums + vector * V::lanes);
      return V::add(V::mul(V::to_float(sum), multiplier[i]), offset[i]);
    };
    const auto words = [&](Float a, Float b, int p) {
      a = V::mul(a, factor[0]);
      b = V::mul(b, factor[1]);
      if (kResidual) {
        Float r0, r1;
        V::unpack(row.r + row.r_columns[tile.column + p] + first, count, r0, r1);
        a = V::add(a, V::mul(V::sub(r0, shift), ratio[0]));
        b = V::add(b, V::mul(V::sub(r1, shift), ratio[1]));
      }
      if (kRange == Range::any) {
        a = V::min(V::max(a, V::splat(-32768.0f)), V::splat(32767.0f));
        b = V::min(V::max(b, V::splat(-32768.0f)), V::splat(32767.0f));
      }
      const bool ceil = kRange == Range::any && row.ceil;
      const Words q = ceil ? V::narrow(V::round_up(a), V::round_up(b))
                           : V::narrow(V::round(a), V::round(b));
      return V::min_words(V::add_words(q, zero), high);
    };
    silu<V, kRange, (V::group + 1) / 2>(
        (tile.pixels + 1) / 2, real, [&](int turn, const Float(&t)[4]) {
          const int p = 2 * turn, next = p < last ? p + 1 : p;
          V::store_bytes(y + p * row.y_column, y + next * row.y_column, words(t[0], t[1], p),
                         words(t[2], t[3], next), count);
        });
  }
}

template <class V, bool kResidual>
static inline void finish_silu(const Row& row, const Tile& tile) {
  switch (row.range) {
    case Range::bytes:  // not of silu, see range_of_silu()
    case Range::words: return finish_silu<V, kResidual, Range::words>(row, tile);
    case Range::limits: return finish_silu<V, kResidual, Range::limits>(row, tile);
    case Range::any: return finish_silu<V, kResidual, Range::any>(row, tile);
  }
}

template <class V, bool kResidual, bool kSilu>
static inline void finish_single(const Row& row, const Tile& tile) {
  switch (row.range) {
    case Range::bytes: return finish_single<V, kResidual, Range::bytes, kSilu>(row, tile);
    case Range::words: return finish_single<V, kResidual, Range::words, kSilu>(row, tile);
    case Range::limits: return finish_single<V, kResidual, Range::limits, kSilu>(row, tile);
    case Range::any: return finish_single<V, kResidual, Range::any, kSilu>(row, tile);
  }
}

template <class V>
static inline void finish(const Row& row, const Tile& tile) {
  if constexpr (V::kSingle) {
    static_assert(V::vectors == 2);
    if (tile.vectors == 1 && !row.y_float) {
      if (row.factor)
        return row.r ? finish_single<V, true, true>(row, tile)
                     : finish_single<V, false, true>(row, tile);
      return row.r ? finish_single<V, true, false>(row, tile)
                   : finish_single<V, false, false>(row, tile);
    }
  }
  if (row.factor && row.r)
    finish_silu<V, true>(row, tile);
  else if (row.factor)
    finish_silu<V, false>(row, tile);
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
