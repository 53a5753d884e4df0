// Included once per instruction set, into an anonymous namespace within lbw, after
//   Floats                                     a vector of floats
//   Floats widen(const std::uint8_t*, Floats)  as many bytes as floats
//   void narrow(Floats, std::uint8_t*)         floats, whole numbers 0 .. 255, as bytes
//   kFusedAdd, fused_add(a, b, c)              a * b + c of doubles, rounded once, if there is one
// No function of the standard library here: an inline one, compiled for a newer instruction
// set, could be the copy that the linker keeps for everyone.

inline float widen(const std::uint8_t* bytes, float) { return static_cast<float>(*bytes); }
inline void narrow(float value, std::uint8_t* out) { *out = static_cast<std::uint8_t>(value); }

inline float smaller(float a, float b) { return a < b ? a : b; }
inline float larger(float a, float b) { return a > b ? a : b; }

using Doubles = double __attribute__((vector_size(sizeof(Floats))));
using Longs = std::int64_t __attribute__((vector_size(sizeof(Floats))));

// a / n, rounded as a division rounds it, which takes ten times as long: a quotient that may be off by
// its last bit is put right by what it leaves over. Source: P. Markstein, "Computation of elementary
// functions on the IBM RISC System/6000 processor", IBM J. Res. Dev. 34 (1990).
inline Doubles divided(Doubles a, int n) {
  if (!kFusedAdd) return a / static_cast<double>(n);
  const Doubles divisor = Doubles{} + n, inverse = Doubles{} + 1.0 / n, quotient = a * inverse;
  return fused_add(fused_add(-quotient, divisor, a), inverse, quotient);
}

// x = exp(x), as runtime/arithmetic/boxes.py has it. Step by step for all of them: each waits for
// its own last step, but not for the others'.
template <int n>
inline void exponentials_of(Doubles (&x)[n]) {
  const Doubles magic = Doubles{} + 6755399441055744.0;  // 1.5 * 2**52: no place for a fraction
  const Doubles least = Doubles{} - 5000, normal = Doubles{} - 1022;
  Doubles k[n], r[n], p[n];
  for (int i = 0; i < n; ++i) {
    x[i] = x[i] < least ? least : x[i];
    k[i] = (x[i] * 1.4426950408889634 + magic) - magic;
    r[i] = x[i] - k[i] * 0.6931471805599453;
    p[i] = Doubles{} + 1;
  }
#pragma GCC unroll 16
  for (int term = 13; term >= 1; --term)
    for (int i = 0; i < n; ++i) p[i] = 1 + divided(p[i] * r[i], term);
  for (int i = 0; i < n; ++i) {
    // 2**k is the float whose exponent is k; the sum holds k in its lowest bits
    const Doubles sum = (k[i] < normal ? normal : k[i]) + (magic + 1023);
    x[i] = p[i] * reinterpret_cast<Doubles>(reinterpret_cast<Longs>(sum) << 52);
  }
}

void exponentials(double* __restrict values, std::size_t count) {
  constexpr std::size_t kTurn = sizeof(Doubles) / sizeof(double) * 8;
  for (std::size_t i = 0; i < count; i += kTurn) {
    const std::size_t bytes = (count - i < kTurn ? count - i : kTurn) * sizeof(double);
    Doubles some[8]{};
    __builtin_memcpy(some, values + i, bytes);
    exponentials_of(some);
    __builtin_memcpy(values + i, some, bytes);
  }
}

// Pixels of three bytes to where they lie side by side, each by a copy of `size` bytes.
template <int size>
inline void gather_pixels(const std::uint8_t* pixels, const std::int32_t* __restrict offsets,
                          std::size_t count, std::uint8_t* __restrict out) {
#pragma GCC unroll 4
  for (std::size_t i = 0; i < count; ++i) __builtin_memcpy(out + 3 * i, pixels + offsets[i], size);
}

void resize_row(const std::uint8_t* pixels, std::size_t bytes, const ResizeColumns& columns,
                std::int16_t* __restrict out) {
  constexpr std::size_t kTurn = 64;  // columns, whose pixels are first laid side by side
  std::uint8_t a[3 * kTurn + 1], b[3 * kTurn + 1];
  // Behind all pixels but the last there is another byte: four are copied at once.
  const auto last = static_cast<std::int32_t>(bytes) - 3;
  std::size_t before = columns.count;
  while (before > 0 && (columns.first[before - 1] >= last || columns.second[before - 1] >= last))
    --before;
  for (std::size_t from = 0; from < columns.count; from += kTurn) {
    const std::size_t left = columns.count - from, turn = left < kTurn ? left : kTurn;
    const std::size_t some = before < from ? 0 : before - from < turn ? before - from : turn;
    gather_pixels<4>(pixels, columns.first + from, some, a);
    gather_pixels<4>(pixels, columns.second + from, some, b);
    gather_pixels<3>(pixels, columns.first + from + some, turn - some, a + 3 * some);
    gather_pixels<3>(pixels, columns.second + from + some, turn - some, b + 3 * some);
    // (a * (2048 - w) + b * w) >> 4 in 16 bits, where w is at most 1024
    const std::int16_t* const shares = columns.shares + 3 * from;
    std::int16_t* const to = out + 3 * from;
    for (std::size_t i = 0; i < 3 * turn; ++i) {
      const auto less = static_cast<std::int16_t>((a[i] - b[i]) * 128);
      to[i] = static_cast<std::int16_t>(a[i] * 128 + (less * shares[i] >> 16));
    }
  }
}

void blend(const std::int16_t* __restrict a, const std::int16_t* __restrict b, int weight,
           std::size_t count, std::uint8_t* __restrict out) {
  const auto below = static_cast<std::int16_t>(weight);
  const auto above = static_cast<std::int16_t>(2048 - weight);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<std::uint8_t>(((a[i] * above >> 16) + (b[i] * below >> 16) + 2) >> 2);
}

void maximum(const std::uint8_t* __restrict in, std::size_t count, std::uint8_t* __restrict out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = out[i] < in[i] ? in[i] : out[i];
}

void look_up(const std::uint8_t* __restrict table, const std::uint8_t* __restrict in,
             std::size_t count, std::uint8_t* __restrict out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = table[in[i]];
}

void mark_overlaps(const BoxColumns& boxes, std::size_t i, std::size_t count, float threshold,
                   std::int32_t* __restrict dropped) {
  const float x1 = boxes.x1[i], y1 = boxes.y1[i], x2 = boxes.x2[i], y2 = boxes.y2[i];
  const float area = boxes.area[i];
  const float *bx1 = boxes.x1, *by1 = boxes.y1, *bx2 = boxes.x2, *by2 = boxes.y2;
  const float* areas = boxes.area;
  for (std::size_t j = i + 1; j < count; ++j) {
    const float w = smaller(x2, bx2[j]) - larger(x1, bx1[j]);
    const float h = smaller(y2, by2[j]) - larger(y1, by1[j]);
    const float inter = larger(w, 0) * larger(h, 0);
    // 0 / 0 is not a number, and not above any threshold
    dropped[j] |= inter / (area + areas[j] - inter) > threshold;
  }
}

// A Rounding as vectors, or floats, V: made before a loop, since writing bytes could change it.
// The limits are whole numbers, and come before the rounding, and before the zero point.
template <typename V>
struct Round {
  V low, high, zero;
  bool ceil;

  explicit Round(const Rounding& to)
      : low(V{} + static_cast<float>(to.low - to.zero)),
        high(V{} + static_cast<float>(to.high - to.zero)),
        zero(V{} + static_cast<float>(to.zero)),
        ceil(to.ceil) {}

  inline void bytes(V value, std::uint8_t* out) const {
    value = value > low ? value : low;  // low, if it is no number
    value = value < high ? value : high;
    const V magic = V{} + 12582912.0f;  // 1.5 * 2**23: the sum has no place for a fraction
    V rounded = (value + magic) - magic;
    if (ceil) rounded = rounded < value ? rounded + 1 : rounded;
    narrow(rounded + zero, out);
  }
};

// Channels c .. c + vectors * lanes of a box, all bins. V: a vector of `lanes` floats.
template <typename V, int vectors>
inline void roi_channels(const RoiTask& task, int first_row, int rows, int c) {
  constexpr int lanes = sizeof(V) / sizeof(float);
  const int size = task.size;
  const float zero_point = static_cast<float>(task.zero_in);
  V* const lines = reinterpret_cast<V*>(task.lines);
  for (int row = 0; row < rows; ++row) {
    const std::uint8_t* pixels = task.map + (first_row + row) * task.row_stride + c;
    for (int bin = 0; bin < size; ++bin) {
      V sum[vectors] = {};
      const std::uint8_t* pixel = pixels + task.x.first[bin] * task.pixel_stride;
      for (int i = 0; i < task.x.count[bin]; ++i, pixel += task.pixel_stride) {
        const float weight = task.x.weights[bin * task.x.stride + i];
        for (int v = 0; v < vectors; ++v)
          sum[v] = sum[v] + (widen(pixel + v * lanes, V{}) - zero_point) * weight;
      }
      for (int v = 0; v < vectors; ++v) lines[(row * size + bin) * vectors + v] = sum[v];
    }
  }
  const Round<V> to(task.to);
  for (int by = 0; by < size; ++by) {
    const V* const top = lines + (task.y.first[by] - first_row) * size * vectors;
    for (int bx = 0; bx < size; ++bx) {
      V sum[vectors] = {};
      for (int i = 0; i < task.y.count[by]; ++i) {
        const float weight = task.y.weights[by * task.y.stride + i];
        for (int v = 0; v < vectors; ++v)
          sum[v] = sum[v] + top[(i * size + bx) * vectors + v] * weight;
      }
      std::uint8_t* const out = task.out + by * task.out_row_stride + bx * task.channels + c;
      for (int v = 0; v < vectors; ++v)
        to.bytes(sum[v] * task.ratio, out + v * lanes);
    }
  }
}

void roi_align(const RoiTask& task) {
  int first_row = 0, end_row = 0;
  for (int bin = 0; bin < task.size; ++bin) {
    const int first = task.y.first[bin], end = first + task.y.count[bin];
    if (first == end) continue;
    if (end_row == 0 || first < first_row) first_row = first;
    if (end > end_row) end_row = end;
  }
  constexpr int lanes = sizeof(Floats) / sizeof(float);
  int c = 0;
  for (; c + kRoiLanes <= task.channels; c += kRoiLanes)
    roi_channels<Floats, kRoiLanes / lanes>(task, first_row, end_row - first_row, c);
  for (; c + lanes <= task.channels; c += lanes)
    roi_channels<Floats, 1>(task, first_row, end_row - first_row, c);
  for (; c < task.channels; ++c)
    roi_channels<float, 1>(task, first_row, end_row - first_row, c);
}

inline void load(const float* in, float& value) { value = *in; }
inline void load(const float* in, Floats& values) { __builtin_memcpy(&values, in, sizeof values); }
inline void store(float value, float* out) { *out = value; }
inline void store(Floats values, float* out) { __builtin_memcpy(out, &values, sizeof values); }

// Calls step(i, zero vector) for whole vectors, then step(i, zero) for what is left.
template <typename Step>
inline void each(std::size_t count, Step step) {
  constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) step(i, Floats{});
  for (; i < count; ++i) step(i, 0.0f);
}

void scale(const std::uint8_t* in, float zero, float factor, std::size_t count, float* out) {
  each(count, [=](std::size_t i, auto v) { store((widen(in + i, v) - zero) * factor, out + i); });
}

void add_scaled(const std::uint8_t* in, float zero, float factor, std::size_t count, float* out) {
  each(count, [=](std::size_t i, auto v) {
    load(out + i, v);
    store(v + (widen(in + i, v) - zero) * factor, out + i);
  });
}

void add_weighted(const std::uint8_t* in, std::ptrdiff_t step, float zero, const float* weights,
                  std::size_t rows, std::size_t count, float* out) {
  each(count, [=](std::size_t i, auto v) {
    load(out + i, v);
    const std::uint8_t* from = in + i;
    for (std::size_t j = 0; j < rows; ++j, from += step)
      v = v + (widen(from, v) - zero) * weights[j];
    store(v, out + i);
  });
}

void dots(const std::int16_t* query, const std::uint8_t* keys, std::ptrdiff_t step,
          std::size_t rows, std::size_t count, std::int32_t* __restrict out) {
  for (std::size_t j = 0; j < rows; ++j, keys += step) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < count; ++i)
      sum += query[i] * static_cast<std::int16_t>(keys[i]);
    out[j] = sum;
  }
}

// Of two maps, the most frequent number, all that the loop needs stays in registers: writing bytes
// could change what lies in memory.
void add_two(const AddTask& task) {
  const Round<Floats> vectors(task.to);
  const Round<float> rest(task.to);
  const float zeros[2] = {task.zeros[0], task.zeros[1]};
  const float ratios[2] = {task.ratios[0], task.ratios[1]};
  const std::size_t channels = task.channels;
  for (std::ptrdiff_t pixel = 0; pixel < task.pixels; ++pixel) {
    const std::uint8_t* const a = task.in[0] + pixel * task.in_steps[0];
    const std::uint8_t* const b = task.in[1] + pixel * task.in_steps[1];
    std::uint8_t* const out = task.out + pixel * task.out_step;
    const auto sum_of = [&](std::size_t c, auto v) {
      return (widen(a + c, v) - zeros[0]) * ratios[0] + (widen(b + c, v) - zeros[1]) * ratios[1];
    };
    constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);
    std::size_t c = 0;
    for (; c + lanes <= channels; c += lanes) vectors.bytes(sum_of(c, Floats{}), out + c);
    for (; c < channels; ++c) rest.bytes(sum_of(c, 0.0f), out + c);
  }
}

void add(const AddTask& task) {
  if (task.inputs == 2) return add_two(task);
  const Round<Floats> vectors(task.to);
  const Round<float> rest(task.to);
  for (std::ptrdiff_t pixel = 0; pixel < task.pixels; ++pixel) {
    std::uint8_t* const out = task.out + pixel * task.out_step;
    const auto sum_of = [&](std::size_t c, auto v) {
      auto sum = v;
      for (int i = 0; i < task.inputs; ++i) {
        const std::uint8_t* const in = task.in[i] + pixel * task.in_steps[i] + c;
        const auto term = (widen(in, v) - task.zeros[i]) * task.ratios[i];
        sum = i == 0 ? term : sum + term;  // 0 + -0 has another sign than -0
      }
      return sum;
    };
    constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);
    std::size_t c = 0;
    for (; c + lanes <= task.channels; c += lanes) vectors.bytes(sum_of(c, Floats{}), out + c);
    for (; c < task.channels; ++c) rest.bytes(sum_of(c, 0.0f), out + c);
  }
}

void affine_bytes(const std::uint8_t* in, float zero, const float* multiplier, const float* offset,
                  const Rounding& to, std::size_t count, std::uint8_t* out) {
  const Round<Floats> vectors(to);
  const Round<float> rest(to);
  const auto real = [=](std::size_t i, auto v) {
    auto shift = v;
    load(multiplier + i, v);
    load(offset + i, shift);
    return (widen(in + i, v) - zero) * v + shift;
  };
  constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) vectors.bytes(real(i, Floats{}), out + i);
  for (; i < count; ++i) rest.bytes(real(i, 0.0f), out + i);
}

void affine(const std::uint8_t* in, float zero, const float* multiplier, const float* offset,
            std::size_t count, float* out) {
  each(count, [=](std::size_t i, auto v) {
    auto shift = v;
    load(multiplier + i, v);
    load(offset + i, shift);
    store((widen(in + i, v) - zero) * v + shift, out + i);
  });
}

void round(const float* in, const Rounding& to, std::size_t count, std::uint8_t* out) {
  constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);
  const Round<Floats> vectors(to);
  const Round<float> rest(to);
  std::size_t i = 0;
  for (Floats v; i + lanes <= count; i += lanes) {
    load(in + i, v);
    vectors.bytes(v, out + i);
  }
  for (; i < count; ++i) rest.bytes(in[i], out + i);
}

void weighted_four(const std::uint8_t* const* in, const float* factors, float zero,
                   const Rounding& to, std::size_t count, std::uint8_t* out) {
  const std::uint8_t *const a = in[0], *const b = in[1], *const c = in[2], *const d = in[3];
  const float f = factors[0], g = factors[1], h = factors[2], k = factors[3];
  each(count, [=](std::size_t i, auto v) {  // copies, which writing bytes cannot change
    auto sum = (widen(a + i, v) - zero) * f;
    sum = sum + (widen(b + i, v) - zero) * g;
    sum = sum + (widen(c + i, v) - zero) * h;
    sum = sum + (widen(d + i, v) - zero) * k;
    Round<decltype(v)>(to).bytes(sum, out + i);
  });
}

using Bits = std::uint32_t __attribute__((vector_size(sizeof(Floats))));
inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline Bits bits_of(Floats values) { return reinterpret_cast<Bits>(values); }
inline float of_bits(std::uint32_t bits, float value) {
  __builtin_memcpy(&value, &bits, sizeof bits);
  return value;
}
inline Floats of_bits(Bits bits, Floats) { return reinterpret_cast<Floats>(bits); }

// values[i] = 2**values[i], for values of -126 to 126; below, wrong and next to 0. Of several vectors
// at a time: each waits for its own last step, but not for the others'.
template <typename V, int n>
inline void powers_of_two(V (&values)[n]) {
  const V magic = V{} + 12582912.0f;
  V whole[n], f[n], p[n];
  for (int i = 0; i < n; ++i) {
    whole[i] = values[i] + magic;  // its lowest bits hold the whole number
    f[i] = values[i] - (whole[i] - magic);
  }
  for (int i = 0; i < n; ++i) p[i] = f[i] * 0.05517167f + 0.24261112f;
  for (int i = 0; i < n; ++i) p[i] = p[i] * f[i] + 0.693261f;
  for (int i = 0; i < n; ++i) p[i] = p[i] * f[i] + 0.9999281f;
  // Times 2**n: added to the exponent.
  for (int i = 0; i < n; ++i)
    values[i] = of_bits(bits_of(p[i]) + (bits_of(whole[i]) << 23), p[i]);
}

template <typename V, int n>
inline void silu_of(V (&t)[n]) {
  const V least = V{} - 87, most = V{} + 87;
  V p[n];
  for (int i = 0; i < n; ++i) {
    const V y = t[i] < most ? t[i] : most;
    p[i] = (y > least ? y : least) * -1.4426950408889634f;
  }
  powers_of_two(p);  // what is wrong below 2**-126 is lost in the sum with 1
  for (int i = 0; i < n; ++i) t[i] = t[i] / (p[i] + 1.0f);
}

float largest_share(const float* logits, std::size_t objects, std::size_t count) {
  constexpr std::size_t lanes = sizeof(Floats) / sizeof(float);
  float best = logits[0];
  if (objects >= lanes) {
    Floats many, next;
    load(logits, many);
    for (std::size_t i = lanes; i + lanes <= objects; i += lanes) {
      load(logits + i, next);
      many = many > next ? many : next;
    }
    float parts[lanes];
    store(many, parts);
    for (std::size_t i = 0; i < lanes; ++i) best = larger(best, parts[i]);
  }
  for (std::size_t i = objects / lanes * lanes; i < objects; ++i) best = larger(best, logits[i]);
  // exp(best) / sum(exp(logits)) = 1 / sum(exp(logits - best))
  Floats sums{};
  float sum = 0;
  each(count, [&](std::size_t i, auto v) {
    load(logits + i, v);
    const auto least = decltype(v){} - 87, most = decltype(v){} + 87;
    v = v - best;
    v = v < most ? v : most;
    decltype(v) power[1] = {(v > least ? v : least) * 1.4426950408889634f};
    powers_of_two(power);
    if constexpr (sizeof(v) == sizeof(float)) {
      sum += power[0];
    } else {
      sums = sums + power[0];
    }
  });
  float parts[lanes];
  store(sums, parts);
  for (std::size_t i = 0; i < lanes; ++i) sum += parts[i];
  return 1.0005f / sum;
}

// The sums of channels c .. c + lanes of some columns to outputs.
template <typename V, int columns>
inline void depthwise_outputs(const DepthwiseTask& task, const Round<V>& to, V (&sum)[columns],
                              int column, int c) {
  V multiplier, offset, v{};
  load(task.multiplier + c, multiplier);
  load(task.offset + c, offset);
  for (int i = 0; i < columns; ++i) sum[i] = sum[i] * multiplier + offset;
  if (task.factor) {
    load(task.factor + c, v);
    silu_of(sum);
    for (int i = 0; i < columns; ++i) sum[i] = sum[i] * v;
  }
  for (int i = 0; i < columns; ++i) {
    V t = sum[i];
    if (task.r) {
      const std::uint8_t* const r = task.r + task.r_columns[column + i] + c;
      load(task.ratio + c, v);
      t = t + (widen(r, v) - task.zero_residual) * v;
    }
    const std::ptrdiff_t at = (column + i) * task.y_column + c;
    if (task.y_float) {
      const V low = V{} + task.low_float;
      store(t > low ? t : low, task.y_float + at);  // of -0 and 0, the latter
    } else {
      to.bytes(t, task.y + at);
    }
  }
}

// Channels c .. c + lanes of `columns` neighbouring columns. Whole numbers below 2**24: exact.
template <typename V, int columns>
inline void depthwise_channels(const DepthwiseTask& task, const Round<V>& to, int column, int c) {
  V sum[columns], v;
  load(task.start + c, v);
  for (int i = 0; i < columns; ++i) sum[i] = v;
  const std::uint8_t* const x = task.x + column * task.x_column + c;
  const float* weight = task.weight + c;
  for (int tap = 0; tap < task.tap_count; ++tap, weight += task.channels) {
    load(weight, v);
    const std::uint8_t* const pixel = x + task.taps[tap];
    for (int i = 0; i < columns; ++i) sum[i] = sum[i] + widen(pixel + i * task.x_column, v) * v;
  }
  depthwise_outputs(task, to, sum, column, c);
}

template <typename V>
inline void depthwise_columns(const DepthwiseTask& task, int c) {
  const Round<V> to(task.to);
  int column = 0;
  for (; column + 4 <= task.columns; column += 4) depthwise_channels<V, 4>(task, to, column, c);
  for (; column < task.columns; ++column) depthwise_channels<V, 1>(task, to, column, c);
}

void depthwise(const DepthwiseTask& task) {
  constexpr int lanes = sizeof(Floats) / sizeof(float);
  int c = 0;
  for (; c + lanes <= task.channels; c += lanes) depthwise_columns<Floats>(task, c);
  for (; c < task.channels; ++c) depthwise_columns<float>(task, c);
}

constexpr Loops kLoops = {exponentials, largest_share, resize_row, blend, maximum, look_up, mark_overlaps,
                          roi_align,    scale,      add_scaled, add, affine_bytes, affine,
                          weighted_four, depthwise, round, dots, add_weighted};
