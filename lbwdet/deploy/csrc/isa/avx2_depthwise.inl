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
    return V::min_words(V::max_words(V::add_words(q, zero), least), most);
  };
  for (int c = 0, block = 0; c < d.channels; c += step, ++block) {
    const int rest = d.channels - c, count = rest < kDepthwiseHalf ? rest : kDepthwiseHalf;
    const int8_t* const weights = d.weight + static_cast<std::ptrdiff_t>(block) * d.quads * 128;
    const int first = block * 4 * lanes;
    for (int column = 0; column < d.columns; column += kWide ? 1 : 2) {
      const int next = !kWide && column + 1 < d.columns ? column + 1 : column;
      const uint8_t* const x0 = d.x + column * d.x_column + c;
      const uint8_t* const x1 = kWide ? x0 + kDepthwiseHalf : d.x + next * d.x_column + c;
      const std::ptrdiff_t* taps = d.taps;
      const int8_t* weight = weights;
      __m256i sums[4];
      LBW_UNROLL for (int i = 0; i < 4; ++i) sums[i] = V::load_int(d.start + first + i * lanes);
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
          sums[i] = V::dot(sums[i], fours[i], V::weights(weight + 32 * i));
      }
      __m256 t[4];
      LBW_UNROLL for (int i = 0; i < 4; ++i)
        t[i] = V::add(V::mul(V::to_float(sums[i]), V::load(d.multiplier + first + i * lanes)),
                      V::load(d.offset + first + i * lanes));
      if (d.factor) {
        silu<V, kRange == Range::any>(t);
        LBW_UNROLL for (int i = 0; i < 4; ++i)
          t[i] = V::mul(t[i], V::load(d.factor + first + i * lanes));
      }
      const __m256i bytes = _mm256_packus_epi16(words(t[0], t[1]), words(t[2], t[3]));
      uint8_t* const y = d.y + column * d.y_column + c;
      uint8_t* const other = kWide ? y + kDepthwiseHalf : d.y + next * d.y_column + c;
      const __m128i halves[2] = {_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)};
      if (kWide || count == kDepthwiseHalf) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(y), halves[0]);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(other), halves[1]);
      } else {
        __builtin_memcpy(y, &halves[0], count);
        __builtin_memcpy(other, &halves[1], count);
      }
    }
  }
}

template <class V>
static void depthwise(const DepthwiseRow& d) {
  const bool wide = d.channels % (2 * kDepthwiseHalf) == 0;
  if (d.range == Range::any)
    wide ? depthwise_row<V, true, Range::any>(d) : depthwise_row<V, false, Range::any>(d);
  else
    wide ? depthwise_row<V, true, Range::words>(d) : depthwise_row<V, false, Range::words>(d);
}
