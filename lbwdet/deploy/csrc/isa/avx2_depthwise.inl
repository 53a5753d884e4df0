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

// A pixel of the window, of both halves.
template <class V, bool kWide>
static inline __m256i depthwise_pixel(const uint8_t* const (&x)[2], std::ptrdiff_t tap) {
  return kWide ? V::weights(reinterpret_cast<const int8_t*>(x[0] + tap))
               : depthwise_load(x[0] + tap, x[1] + tap);
}

// Adds the products of four pixels of the window with their weights.
template <class V>
static inline void depthwise_quad(const __m256i (&pixel)[4], const int8_t* weight,
                                  __m256i (&sum)[4]) {
  const __m256i low0 = _mm256_unpacklo_epi8(pixel[0], pixel[1]);
  const __m256i low1 = _mm256_unpacklo_epi8(pixel[2], pixel[3]);
  const __m256i high0 = _mm256_unpackhi_epi8(pixel[0], pixel[1]);
  const __m256i high1 = _mm256_unpackhi_epi8(pixel[2], pixel[3]);
  const __m256i fours[4] = {_mm256_unpacklo_epi16(low0, low1), _mm256_unpackhi_epi16(low0, low1),
                            _mm256_unpacklo_epi16(high0, high1),
                            _mm256_unpackhi_epi16(high0, high1)};
  LBW_UNROLL for (int i = 0; i < 4; ++i)
    sum[i] = V::dot(sum[i], fours[i], V::weights(weight + 32 * i));
}

// Windows of 3 x 3: where each line begins, the last one last, and from a pixel of it to the next.
struct DepthwiseLines {
  std::ptrdiff_t begin[3]{}, step = 0;

  DepthwiseLines() = default;
  DepthwiseLines(const std::ptrdiff_t* taps, int last) {
    const int line = last < 3 ? 3 : 1, pixel = 4 - line, at = last % 3;
    for (int i = 0; i < 2; ++i) begin[i] = taps[(i + (at <= i)) * line];
    begin[2] = taps[at * line];
    step = taps[pixel] - taps[0];
  }
};

// The four vectors of sums of one turn. x: the windows of its two halves.
template <class V, bool kWide>
static inline void depthwise_sums(const DepthwiseRow& d, const int8_t* weight, const int32_t* start,
                                  const uint8_t* const (&x)[2], int32_t* sums) {
  const std::ptrdiff_t* taps = d.taps;
  __m256i sum[4];
  LBW_UNROLL for (int i = 0; i < 4; ++i) sum[i] = V::load_int(start + i * V::lanes);
  for (int quad = 0; quad < d.quads; ++quad, taps += 4, weight += 128) {
    __m256i pixel[4];
    LBW_UNROLL for (int i = 0; i < 4; ++i) pixel[i] = depthwise_pixel<V, kWide>(x, taps[i]);
    depthwise_quad<V>(pixel, weight, sum);
  }
  LBW_UNROLL for (int i = 0; i < 4; ++i) V::store_int(sums + i * V::lanes, sum[i]);
}

// The same of windows of 3 x 3, whose pixels need not be looked up.
template <class V, bool kWide>
static inline void depthwise_sums_of_nine(const DepthwiseLines& lines, const int8_t* weight,
                                          const int32_t* start, const uint8_t* const (&x)[2],
                                          int32_t* sums) {
  const uint8_t* const line[3][2] = {{x[0] + lines.begin[0], x[1] + lines.begin[0]},
                                     {x[0] + lines.begin[1], x[1] + lines.begin[1]},
                                     {x[0] + lines.begin[2], x[1] + lines.begin[2]}};
  __m256i sum[4];
  LBW_UNROLL for (int i = 0; i < 4; ++i) sum[i] = V::load_int(start + i * V::lanes);
  LBW_UNROLL for (int quad = 0; quad < 3; ++quad) {
    __m256i pixel[4];
    LBW_UNROLL for (int i = 0; i < 4; ++i) {
      const int at = 4 * quad + i;  // beyond the window weights are 0
      pixel[i] = at < 9 ? depthwise_pixel<V, kWide>(line[at / 3], at % 3 * lines.step) : pixel[0];
    }
    depthwise_quad<V>(pixel, weight + 128 * quad, sum);
  }
  LBW_UNROLL for (int i = 0; i < 4; ++i) V::store_int(sums + i * V::lanes, sum[i]);
}

// The same of windows of 3 x 3, in pairs: four sums of int16 instead of five.
template <class V, bool kWide>
static inline void depthwise_sums_of_pairs(const DepthwiseLines& lines, const int8_t* weight,
                                           const int32_t* start, const uint8_t* const (&x)[2],
                                           int32_t* sums) {
  const uint8_t* const line[3][2] = {{x[0] + lines.begin[0], x[1] + lines.begin[0]},
                                     {x[0] + lines.begin[1], x[1] + lines.begin[1]},
                                     {x[0] + lines.begin[2], x[1] + lines.begin[2]}};
  __m256i sum[4];
  LBW_UNROLL for (int i = 0; i < 4; ++i) sum[i] = V::load_int(start + i * V::lanes);
  LBW_UNROLL for (int two = 0; two < 2; ++two) {
    __m256i part[3][2];  // [pair][channels 0-7, 8-15 of the halves]
    LBW_UNROLL for (int i = 0; i < 2 + two; ++i) {
      const int pair = 2 * two + i, at = 2 * pair, next = at == 8 ? at : at + 1;
      const __m256i a = depthwise_pixel<V, kWide>(line[at / 3], at % 3 * lines.step);
      const __m256i b = depthwise_pixel<V, kWide>(line[next / 3], next % 3 * lines.step);
      part[i][0] = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), V::weights(weight + 64 * pair));
      part[i][1] =
          _mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), V::weights(weight + 64 * pair + 32));
    }
    LBW_UNROLL for (int half = 0; half < 2; ++half) {
      const __m256i last = two ? _mm256_add_epi16(part[1][half], part[2][half]) : part[1][half];
      sum[2 * half] =
          V::Narrow::widen(sum[2 * half], _mm256_unpacklo_epi16(part[0][half], last));
      sum[2 * half + 1] =
          V::Narrow::widen(sum[2 * half + 1], _mm256_unpackhi_epi16(part[0][half], last));
    }
  }
  LBW_UNROLL for (int i = 0; i < 4; ++i) V::store_int(sums + i * V::lanes, sum[i]);
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
    const int block_bytes = d.last_lines ? 64 * kDepthwisePairs : 128 * d.quads;
    const int8_t* const weights = d.weight + static_cast<std::ptrdiff_t>(block) * block_bytes;
    const int first = block * 4 * lanes;
    const DepthwiseLines lines =
        d.nine ? DepthwiseLines(d.taps, d.last_lines ? d.last_lines[block] : 2) : DepthwiseLines{};
    for (int from = 0; from < d.columns; from += kTurns * columns) {
      const int left = (d.columns - from + columns - 1) / columns;
      const int turns = left < kTurns ? left : kTurns;
      // The second column of a turn, if there is one: it is the first again where none is left.
      const auto second = [&](int column) {
        return !kWide && column + 1 < d.columns ? column + 1 : column;
      };
      for (int turn = 0; turn < turns; ++turn) {
        const int column = from + turn * columns;
        const uint8_t* const window = d.x + column * d.x_column + c;
        const uint8_t* const x[2] = {
            window, kWide ? window + kDepthwiseHalf : d.x + second(column) * d.x_column + c};
        if constexpr (V::kNarrow) {
          if (d.last_lines) {
            depthwise_sums_of_pairs<V, kWide>(lines, weights, d.start + first, x, sums[turn]);
            continue;
          }
        }
        if (d.nine)
          depthwise_sums_of_nine<V, kWide>(lines, weights, d.start + first, x, sums[turn]);
        else
          depthwise_sums<V, kWide>(d, weights, d.start + first, x, sums[turn]);
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
        // In registers: what is written might be these numbers, for all that a compiler knows.
        __m256 multiplier[4], offset[4];
        LBW_UNROLL for (int i = 0; i < 4; ++i) {
          multiplier[i] = V::load(d.multiplier + first + i * lanes);
          offset[i] = V::load(d.offset + first + i * lanes);
        }
        for (int turn = 0; turn < turns; ++turn) {
          __m256 t[4];
          LBW_UNROLL for (int i = 0; i < 4; ++i) {
            const __m256 sum = V::to_float(V::load_int(sums[turn] + i * lanes));
            t[i] = V::add(V::mul(sum, multiplier[i]), offset[i]);
          }
          write(turn, t[0], t[1], t[2], t[3]);
        }
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
