// The second half of a tile's life: sums to outputs. Included by row.inl, whose V this is.

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
