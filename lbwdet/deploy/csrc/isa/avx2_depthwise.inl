// Depthwise convolutions in integers: included into the anonymous namespace of a file, after
// avx2.inl and row.inl. Of four pixels of the window the bytes are interleaved, and V::dot adds
// the products of each channel. Channels go out of order by that, and return to it where vectors
// are packed, since both happens within halves of 16 bytes. A vector's halves are 16 channels each:
// of one pixel (wide), or the same of two neighbouring pixels of the output.

static inline __m256i depthwise_load(const uint8_t* first, const uint8_t* second) {
  const auto load = [](const uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  };
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load(first)), load(second), 1);
}

template <class V, bool kWide, Range kRange>
static void depthwise_row(const DepthwiseRow& d) {
  constexpr int lanes = V::lanes, step = kWide ? 2 * kDepthwiseHalf : kDepthwiseHalf;
  constexpr int kTurns = 12, columns = kWide ? 1 : 2;  // of a turn: so many columns
  const __m256i zero = V::splat_words(d.zero), least = V::splat_words(d.low),
                most = V::splat_words(d.high);
  const bool ceil = kRange == Range::any && d.ceil;
  const auto words = [&](__m256 a, __m256 b) {
    if (kRange == Range::any) {
      a = V::min(V::max(a, V::splat(-32768.0f)), V::splat(32767.0f));
      b = V::min(V::max(b, V::splat(-32768.0f)), V::splat(32767.0f));
    }
    const __m256i q = ceil ? V::narrow(V::round_up(a), V::round_up(b))
                           : V::narrow(V::round(a), V::round(b));
    return kRange == Range::bytes
               ? q
               : V::min_words(V::max_words(V::add_words(q, zero), least), most);
  };
  alignas(32) int32_t sums[kTurns][4 * lanes];
  for (int c = 0, block = 0; c < d.channels; c += step, ++block) {
    const int rest = d.channels - c, count = rest < kDepthwiseHalf ? rest : kDepthwiseHalf;
    const int8_t* const weights = d.weight + static_cast<std::ptrdiff_t>(block) * d.quads * 128;
    const int first = block * 4 * lanes;
    for (int from = 0; from < d.columns; from += kTurns * columns) {
      const int left = (d.columns - from + columns - 1) / columns;
      const int turns = left < kTurns ? left : kTurns;
      // The second column of a turn, if there is one: it is the first again where none is left.
      const auto second = [&](int column) {
        return !kWide && column + 1 < d.columns ? column + 1 : column;
      };
      for (int turn = 0; turn < turns; ++turn) {
        const int column = from + turn * columns;
        const uint8_t* const x0 = d.x + column * d.x_column + c;
        const uint8_t* const x1 =
            kWide ? x0 + kDepthwiseHalf : d.x + second(column) * d.x_column + c;
        const std::ptrdiff_t* taps = d.taps;
        const int8_t* weight = weights;
        __m256i sum[4];
        LBW_UNROLL for (int i = 0; i < 4; ++i) sum[i] = V::load_int(d.start + first + i * lanes);
        for (int quad = 0; quad < d.quads; ++quad, taps += 4, weight += 128) {
          __m256i x[4];
          LBW_UNROLL for (int i = 0; i < 4; ++i)
            x[i] = kWide ? V::weights(reinterpret_cast<const int8_t*>(x0 + taps[i]))
                         : depthwise_load(x0 + taps[i], x1 + taps[i]);
          const __m256i low0 = _mm256_unpacklo_epi8(x[0], x[1]);
          const __m256i low1 = _mm256_unpacklo_epi8(x[2], x[3]);
          const __m256i high0 = _mm256_unpackhi_epi8(x[0], x[1]);
          const __m256i high1 = _mm256_unpackhi_epi8(x[2], x[3]);
          const __m256i fours[4] = {
              _mm256_unpacklo_epi16(low0, low1), _mm256_unpackhi_epi16(low0, low1),
              _mm256_unpacklo_epi16(high0, high1), _mm256_unpackhi_epi16(high0, high1)};
          LBW_UNROLL for (int i = 0; i < 4; ++i)
            sum[i] = V::dot(sum[i], fours[i], V::weights(weight + 32 * i));
        }
        LBW_UNROLL for (int i = 0; i < 4; ++i) V::store_int(sums[turn] + i * lanes, sum[i]);
      }
      const auto real = [&](int pair, int i) {
        const int at = (pair % 2 * 2 + i) * lanes;
        return V::add(V::mul(V::to_float(V::load_int(sums[pair / 2] + at)),
                             V::load(d.multiplier + first + at)),
                      V::load(d.offset + first + at));
      };
      const auto write = [&](int turn, __m256 a, __m256 b, __m256 c2, __m256 d2) {
        const __m256i bytes = _mm256_packus_epi16(words(a, b), words(c2, d2));
        const int column = from + turn * columns;
        uint8_t* const y = d.y + column * d.y_column + c;
        uint8_t* const other = kWide ? y + kDepthwiseHalf : d.y + second(column) * d.y_column + c;
        const __m128i halves[2] = {_mm256_castsi256_si128(bytes),
                                   _mm256_extracti128_si256(bytes, 1)};
        if (kWide || count == kDepthwiseHalf) {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(y), halves[0]);
          _mm_storeu_si128(reinterpret_cast<__m128i*>(other), halves[1]);
        } else {
          __builtin_memcpy(y, &halves[0], count);
          __builtin_memcpy(other, &halves[1], count);
        }
      };
      if (d.factor) {
        const auto scaled = [&](__m256 t, int i) {
          return V::mul(t, V::load(d.factor + first + i * lanes));
        };
        silu<V, kRange, kTurns>(turns, real, [&](int turn, const __m256(&t)[4]) {
          write(turn, scaled(t[0], 0), scaled(t[1], 1), scaled(t[2], 2), scaled(t[3], 3));
        });
      } else {
        for (int turn = 0; turn < turns; ++turn)
          write(turn, real(2 * turn, 0), real(2 * turn, 1), real(2 * turn + 1, 0),
                real(2 * turn + 1, 1));
      }
    }
  }
}

template <class V, bool kWide>
static void depthwise_of(const DepthwiseRow& d) {
  switch (d.range) {
    case Range::bytes: return depthwise_row<V, kWide, Range::bytes>(d);
    case Range::words: return depthwise_row<V, kWide, Range::words>(d);
    case Range::limits: return depthwise_row<V, kWide, Range::limits>(d);
    case Range::any: return depthwise_row<V, kWide, Range::any>(d);
  }
}

template <class V>
static void depthwise(const DepthwiseRow& d) {
  const bool wide = d.channels % (2 * kDepthwiseHalf) == 0;
  wide ? depthwise_of<V, true>(d) : depthwise_of<V, false>(d);
}
