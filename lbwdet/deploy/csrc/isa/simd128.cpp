// WebAssembly's vectors of 128 bits: i32x4.dot_i16x8_s, since there is no product of bytes.
// Of four bytes, the even ones and the odd ones become pairs of int16 by a mask and shifts alone:
// shuffles, of which machines do few at a time, are not needed.
#if defined(__wasm_simd128__)

#include <wasm_simd128.h>

#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"

namespace lbw {
namespace {

// Constants come from memory that the compiler cannot see through: browsers make a v128.const of
// several instructions wherever it is used, and load a register of the stack in one.
template <class T>
inline const T* unknown(const T* numbers) {
  asm("" : "+r"(numbers));
  return numbers;
}

struct Four {
  float lanes[4];
  constexpr Four(float x) : lanes{x, x, x, x} {}
};

constexpr Four kSiluNumbers[] = {87.0f,       -87.0f,      -1.4426950408889634f, 12582912.0f,
                                 0.05517167f, 0.24261112f, 0.693261f,            0.9999281f,
                                 1.0f};

constexpr int kSiluVectors = 12;

// silu_of of loops.inl, in its order, of at most so many vectors. In stages through memory: one
// vector after the other would wait for its own results, and browsers keep that order.
__attribute__((noinline)) void silu_of_vectors(v128_t* t, int count) {
  const Four* const k = unknown(kSiluNumbers);
  const auto number = [k](int i) { return wasm_v128_load(k + i); };
  v128_t rest[kSiluVectors], power[kSiluVectors];
  {
    const v128_t most = number(0), least = number(1), log2e = number(2), magic = number(3);
#pragma clang loop unroll(disable)
    for (int i = 0; i < count; ++i) {
      const v128_t limited = wasm_f32x4_pmax(least, wasm_f32x4_pmin(most, t[i]));
      const v128_t y = wasm_f32x4_mul(limited, log2e), whole = wasm_f32x4_add(y, magic);
      rest[i] = wasm_f32x4_sub(y, wasm_f32x4_sub(whole, magic));
      power[i] = wasm_i32x4_shl(whole, 23);
    }
  }
  {
    v128_t p[4];
    for (int i = 0; i < 4; ++i) p[i] = number(4 + i);
#pragma clang loop unroll(disable)
    for (int i = 0; i < count; ++i) {
      const v128_t f = rest[i];
      v128_t sum = p[0];
      for (int n = 1; n < 4; ++n) sum = wasm_f32x4_add(wasm_f32x4_mul(sum, f), p[n]);
      rest[i] = wasm_i32x4_add(sum, power[i]);
    }
  }
  const v128_t one = number(8);
#pragma clang loop unroll(disable)
  for (int i = 0; i < count; ++i) t[i] = wasm_f32x4_div(t[i], wasm_f32x4_add(rest[i], one));
}

constexpr Four kByteNumbers[] = {-512.0f, 512.0f, 12582912.0f};

// Round of loops.inl, of eight numbers.
struct Bytes {
  v128_t least, most, magic, zero, low, high;
  bool ceil;

  explicit Bytes(const Rounding& to) : ceil(to.ceil) {
    const Four* const k = unknown(kByteNumbers);
    least = wasm_v128_load(k), most = wasm_v128_load(k + 1), magic = wasm_v128_load(k + 2);
    zero = wasm_i16x8_splat(static_cast<int16_t>(to.zero));
    low = wasm_i8x16_splat(static_cast<int8_t>(to.low));
    high = wasm_i8x16_splat(static_cast<int8_t>(to.high));
  }

  inline v128_t whole(v128_t value) const {
    value = wasm_f32x4_pmin(most, wasm_f32x4_pmax(least, value));
    const v128_t sum = wasm_f32x4_add(value, magic);  // no place for a fraction
    const v128_t rounded = wasm_i32x4_sub(sum, magic);
    if (!ceil) return rounded;
    return wasm_i32x4_sub(rounded, wasm_f32x4_lt(wasm_f32x4_sub(sum, magic), value));
  }

  // In the lower half.
  inline v128_t operator()(v128_t a, v128_t b) const {
    const v128_t words = wasm_i16x8_add(wasm_i16x8_narrow_i32x4(whole(a), whole(b)), zero);
    const v128_t bytes = wasm_u8x16_narrow_i16x8(words, words);
    return wasm_u8x16_min(wasm_u8x16_max(bytes, low), high);
  }
};

}  // namespace
}  // namespace lbw

namespace lbw::conv {
namespace {

constexpr int16_t kLowBytes[8] = {255, 255, 255, 255, 255, 255, 255, 255};

struct Vector {
  using Int = v128_t;
  using Float = v128_t;
  using Words = v128_t;
  static constexpr int lanes = 4, pixels = 6, vectors = 2, group = pixels;
  static constexpr bool kNarrow = false;
  static constexpr bool kSingle = false;

  struct Halves {
    v128_t even, odd;  // of four bytes, numbers 0 and 2, and 1 and 3, as int16
  };

  static inline Halves broadcast(const uint8_t* p) {
    const v128_t four = wasm_v128_load32_splat(p);
    return {wasm_v128_and(four, wasm_v128_load(unknown(kLowBytes))), wasm_u16x8_shr(four, 8)};
  }
  static inline Halves weights(const int8_t* p) {
    const v128_t four = wasm_v128_load(p);
    return {wasm_i16x8_shr(wasm_i16x8_shl(four, 8), 8), wasm_i16x8_shr(four, 8)};
  }
  static inline Int dot(Int acc, Halves x, Halves w) {
    return wasm_i32x4_add(wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(x.even, w.even)),
                          wasm_i32x4_dot_i16x8(x.odd, w.odd));
  }

  static inline Int load_int(const int32_t* p) { return wasm_v128_load(p); }
  static inline void store_int(int32_t* p, Int a) { wasm_v128_store(p, a); }
  static inline Float load(const float* p) { return wasm_v128_load(p); }
  static inline Float splat(float value) { return wasm_f32x4_splat(value); }
  static inline Float add(Float a, Float b) { return wasm_f32x4_add(a, b); }
  static inline Float sub(Float a, Float b) { return wasm_f32x4_sub(a, b); }
  static inline Float mul(Float a, Float b) { return wasm_f32x4_mul(a, b); }
  // The "pseudo" ones are one instruction each: no care for what is no number.
  static inline Float min(Float a, Float b) { return wasm_f32x4_pmin(b, a); }
  static inline Float max(Float a, Float b) { return wasm_f32x4_pmax(b, a); }
  static inline Float to_float(Int a) { return wasm_f32x4_convert_i32x4(a); }
  // 1.5 * 2**23 leaves no bits for a fraction; what is beyond int16 is saturated anyway.
  static inline Int round(Float a) {
    const Float t = max(min(a, splat(32767.0f)), splat(-32768.0f)), magic = splat(12582912.0f);
    return wasm_i32x4_sub(add(t, magic), magic);
  }
  static inline Int round_up(Float a) { return round(wasm_f32x4_ceil(a)); }

  static inline Words splat_words(int value) {
    return wasm_i16x8_splat(static_cast<int16_t>(value));
  }
  static inline Words narrow(Int a, Int b) { return wasm_i16x8_narrow_i32x4(a, b); }
  static inline Words add_words(Words a, Words b) { return wasm_i16x8_add_sat(a, b); }
  static inline Words min_words(Words a, Words b) { return wasm_i16x8_min(a, b); }
  static inline Words max_words(Words a, Words b) { return wasm_i16x8_max(a, b); }
  static inline void store_bytes(uint8_t* p, uint8_t* q, Words a, Words b, int count) {
    const v128_t both = wasm_u8x16_narrow_i16x8(a, b);
    if (count == 2 * lanes) {
      wasm_v128_store64_lane(p, both, 0);
      wasm_v128_store64_lane(q, both, 1);
    } else {
      uint8_t bytes[16];
      wasm_v128_store(bytes, both);
      __builtin_memcpy(p, bytes, count);
      __builtin_memcpy(q, bytes + 8, count);
    }
  }
  static inline void unpack(const uint8_t* p, int count, Float& a, Float& b) {
    v128_t bytes;
    if (count == 2 * lanes) {
      bytes = wasm_v128_load64_zero(p);
    } else {
      uint8_t some[8] = {};
      __builtin_memcpy(some, p, count);
      bytes = wasm_v128_load64_zero(some);
    }
    const Words words = wasm_u16x8_extend_low_u8x16(bytes), exponent = wasm_i16x8_splat(0x4B00);
    a = wasm_i16x8_shuffle(words, exponent, 0, 8, 1, 9, 2, 10, 3, 11);
    b = wasm_i16x8_shuffle(words, exponent, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  static inline void store(float* p, Float t, int count) {
    if (count == lanes) return wasm_v128_store(p, t);
    float four[lanes];
    wasm_v128_store(four, t);
    __builtin_memcpy(p, four, count * sizeof(float));
  }
};

#include "../conv/row.inl"

static_assert(Vector::pixels * Vector::vectors <= kSiluVectors, "a tile is done at once");

// finish_silu of finish.inl, in stages through memory.
template <bool kResidual>
inline void finish_silu_of(const Row& row, const Tile& tile) {
  constexpr int lanes = Vector::lanes;
  const int vectors = tile.vectors, held = vectors * lanes;
  v128_t t[kSiluVectors];
  for (int c = 0; c < vectors; ++c) {
    const v128_t multiplier = wasm_v128_load(row.multiplier + tile.channel + c * lanes);
    const v128_t offset = wasm_v128_load(row.offset + tile.channel + c * lanes);
    for (int p = 0; p < tile.pixels; ++p) {
      const v128_t sum = wasm_v128_load(tile.sums + p * held + c * lanes);
      t[p * vectors + c] =
          wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sum), multiplier), offset);
    }
  }
  silu_of_vectors(t, tile.pixels * vectors);
  const int count = tile.channels < held ? tile.channels : held;
  const float* const factor = row.factor + tile.channel;
  const v128_t first = wasm_v128_load(factor), second = wasm_v128_load(factor + lanes);
  const v128_t shift = Vector::splat(8388608.0f + row.zero_residual);
  const Bytes bytes({row.zero, 0, row.high, row.ceil});
  for (int p = 0; p < tile.pixels; ++p) {
    v128_t a = wasm_f32x4_mul(t[p * vectors], first);
    v128_t b = wasm_f32x4_mul(t[p * vectors + 1], second);
    if (kResidual) {
      const float* const ratio = row.ratio + tile.channel;
      v128_t r0, r1;
      Vector::unpack(row.r + row.r_columns[tile.column + p] + tile.channel, count, r0, r1);
      a = wasm_f32x4_add(a, wasm_f32x4_mul(wasm_f32x4_sub(r0, shift), wasm_v128_load(ratio)));
      b = wasm_f32x4_add(b, wasm_f32x4_mul(wasm_f32x4_sub(r1, shift), wasm_v128_load(ratio + lanes)));
    }
    const v128_t eight = bytes(a, b);
    uint8_t* const y = row.y + (tile.column + p) * row.y_column + tile.channel;
    if (count == 2 * lanes) {
      wasm_v128_store64_lane(y, eight, 0);
    } else {
      uint8_t some[16];
      wasm_v128_store(some, eight);
      __builtin_memcpy(y, some, count);
    }
  }
}

template <>
void finish_silu<Vector, false>(const Row& row, const Tile& tile) {
  finish_silu_of<false>(row, tile);
}

template <>
void finish_silu<Vector, true>(const Row& row, const Tile& tile) {
  finish_silu_of<true>(row, tile);
}

constexpr Kernel kKernel = kernel_of<Vector>(0, nullptr);

}  // namespace
}  // namespace lbw::conv

namespace lbw {
namespace {

using Floats = float __attribute__((vector_size(16)));
constexpr bool kFusedAdd = false;
using TwoDoubles = double __attribute__((vector_size(16)));
inline TwoDoubles fused_add(TwoDoubles, TwoDoubles, TwoDoubles c) { return c; }  // there is none

inline Floats widen(const std::uint8_t* bytes, Floats) {
  const v128_t words = wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(bytes));
  return reinterpret_cast<Floats>(wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(words)));
}

inline void narrow(Floats values, std::uint8_t* out) {
  const v128_t wide = reinterpret_cast<v128_t>(values + 12582912.0f);  // the number in its low bits
  const v128_t bytes =
      wasm_i8x16_shuffle(wide, wide, 0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  wasm_v128_store32_lane(out, bytes, 0);
}

#include "../vector/loops.inl"

constexpr int kMostPairs = 32;  // of a window's pixels

inline v128_t whole(const float* numbers) {
  const v128_t magic = wasm_f32x4_splat(12582912.0f);
  return wasm_i32x4_sub(wasm_f32x4_add(wasm_v128_load(numbers), magic), magic);
}
inline v128_t words(const float* numbers) {
  return wasm_i16x8_narrow_i32x4(whole(numbers), whole(numbers + 4));
}

// Eight channels of `columns` neighbouring columns, two pixels of the window at a time.
template <int columns>
inline void depthwise_pairs(const DepthwiseTask& task, const v128_t* weights, int column, int c) {
  v128_t sums[columns][2];
  for (int i = 0; i < columns; ++i)
    for (int half = 0; half < 2; ++half)
      sums[i][half] = wasm_i32x4_trunc_sat_f32x4(wasm_v128_load(task.start + c + 4 * half));
  const std::uint8_t* const x = task.x + column * task.x_column + c;
  for (int tap = 0; tap < task.tap_count; tap += 2, weights += 2) {
    const std::uint8_t* const first = x + task.taps[tap];
    const std::uint8_t* const second = tap + 1 < task.tap_count ? x + task.taps[tap + 1] : first;
    for (int i = 0; i < columns; ++i) {
      const v128_t both = wasm_i8x16_shuffle(wasm_v128_load64_zero(first + i * task.x_column),
                                             wasm_v128_load64_zero(second + i * task.x_column), 0,
                                             16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      sums[i][0] = wasm_i32x4_add(
          sums[i][0], wasm_i32x4_dot_i16x8(wasm_u16x8_extend_low_u8x16(both), weights[0]));
      sums[i][1] = wasm_i32x4_add(
          sums[i][1], wasm_i32x4_dot_i16x8(wasm_u16x8_extend_high_u8x16(both), weights[1]));
    }
  }
  if (task.factor == nullptr || task.r != nullptr || task.y == nullptr) {
    for (int i = 0; i < columns; ++i)
      for (int half = 0; half < 2; ++half) {
        Floats sum[1] = {reinterpret_cast<Floats>(wasm_f32x4_convert_i32x4(sums[i][half]))};
        depthwise_outputs(task, Round<Floats>(task.to), sum, column + i, c + 4 * half);
      }
    return;
  }
  v128_t t[2 * columns];
  for (int half = 0; half < 2; ++half) {
    const v128_t multiplier = wasm_v128_load(task.multiplier + c + 4 * half);
    const v128_t offset = wasm_v128_load(task.offset + c + 4 * half);
    for (int i = 0; i < columns; ++i)
      t[2 * i + half] = wasm_f32x4_add(
          wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums[i][half]), multiplier), offset);
  }
  silu_of_vectors(t, 2 * columns);
  const v128_t first = wasm_v128_load(task.factor + c);
  const v128_t second = wasm_v128_load(task.factor + c + 4);
  const Bytes bytes(task.to);
  for (int i = 0; i < columns; ++i) {
    std::uint8_t* const y = task.y + (column + i) * task.y_column + c;
    const v128_t eight =
        bytes(wasm_f32x4_mul(t[2 * i], first), wasm_f32x4_mul(t[2 * i + 1], second));
    wasm_v128_store64_lane(y, eight, 0);
  }
}

void depthwise_in_pairs(const DepthwiseTask& task) {
  const int pairs = (task.tap_count + 1) / 2;
  if (pairs > kMostPairs) return depthwise(task);
  int c = 0;
  for (; c + 8 <= task.channels; c += 8) {
    v128_t weights[2 * kMostPairs];
    for (int pair = 0; pair < pairs; ++pair) {
      const std::ptrdiff_t tap = 2 * pair;
      const float* const weight = task.weight + tap * task.channels + c;
      const v128_t first = words(weight);
      const v128_t second =
          tap + 1 < task.tap_count ? words(weight + task.channels) : wasm_i16x8_splat(0);
      weights[2 * pair] = wasm_i16x8_shuffle(first, second, 0, 8, 1, 9, 2, 10, 3, 11);
      weights[2 * pair + 1] = wasm_i16x8_shuffle(first, second, 4, 12, 5, 13, 6, 14, 7, 15);
    }
    int column = 0;
    for (; column + 4 <= task.columns; column += 4) depthwise_pairs<4>(task, weights, column, c);
    for (; column < task.columns; ++column) depthwise_pairs<1>(task, weights, column, c);
  }
  for (; c + 4 <= task.channels; c += 4) depthwise_columns<Floats>(task, c);
  for (; c < task.channels; ++c) depthwise_columns<float>(task, c);
}

void round_eight(const float* in, const Rounding& to, std::size_t count, std::uint8_t* out) {
  const Bytes bytes(to);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8)
    wasm_v128_store64_lane(out + i, bytes(wasm_v128_load(in + i), wasm_v128_load(in + i + 4)), 0);
  round(in + i, to, count - i, out + i);
}

struct Eight {
  v128_t low, high;

  // (bytes - zero) * factor; `factor` of each channel, or of all.
  Eight(const std::uint8_t* in, v128_t zero, v128_t low_factor, v128_t high_factor) {
    const v128_t words = wasm_u16x8_load8x8(in);
    low = wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(words));
    high = wasm_f32x4_convert_i32x4(wasm_u32x4_extend_high_u16x8(words));
    low = wasm_f32x4_mul(wasm_f32x4_sub(low, zero), low_factor);
    high = wasm_f32x4_mul(wasm_f32x4_sub(high, zero), high_factor);
  }

  void add(v128_t to_low, v128_t to_high) {
    low = wasm_f32x4_add(low, to_low);
    high = wasm_f32x4_add(high, to_high);
  }
};

// affine_bytes and add of loops.inl, of eight numbers.
void affine_eight(const std::uint8_t* in, float zero, const float* multiplier, const float* offset,
                  const Rounding& to, std::size_t count, std::uint8_t* out) {
  const Bytes bytes(to);
  const v128_t zeros = wasm_f32x4_splat(zero);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    Eight t(in + i, zeros, wasm_v128_load(multiplier + i), wasm_v128_load(multiplier + i + 4));
    t.add(wasm_v128_load(offset + i), wasm_v128_load(offset + i + 4));
    wasm_v128_store64_lane(out + i, bytes(t.low, t.high), 0);
  }
  if (i < count)
    affine_bytes(in + i, zero, multiplier + i, offset + i, to, count - i, out + i);
}

void add_eight(const AddTask& task) {
  const Bytes bytes(task.to);
  const Round<float> rest(task.to);
  for (std::ptrdiff_t pixel = 0; pixel < task.pixels; ++pixel) {
    std::uint8_t* const out = task.out + pixel * task.out_step;
    const auto in = [&](int i) { return task.in[i] + pixel * task.in_steps[i]; };
    std::size_t c = 0;
    for (; c + 8 <= task.channels; c += 8) {
      const auto term = [&](int i) {
        const v128_t ratio = wasm_f32x4_splat(task.ratios[i]);
        return Eight(in(i) + c, wasm_f32x4_splat(task.zeros[i]), ratio, ratio);
      };
      Eight sum = term(0);
      for (int i = 1; i < task.inputs; ++i) {
        const Eight other = term(i);
        sum.add(other.low, other.high);
      }
      wasm_v128_store64_lane(out + c, bytes(sum.low, sum.high), 0);
    }
    for (; c < task.channels; ++c) {
      const auto term = [&](int i) {
        return (static_cast<float>(in(i)[c]) - task.zeros[i]) * task.ratios[i];
      };
      float sum = term(0);
      for (int i = 1; i < task.inputs; ++i) sum = sum + term(i);
      rest.bytes(sum, out + c);
    }
  }
}

// exponentials of loops.inl, in its order.
void exponentials_in_pairs(double* values, std::size_t count) {
  const v128_t magic = wasm_f64x2_splat(6755399441055744.0), one = wasm_f64x2_splat(1);
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const v128_t x = wasm_f64x2_pmax(wasm_v128_load(values + i), wasm_f64x2_splat(-5000));
    const v128_t scaled = wasm_f64x2_mul(x, wasm_f64x2_splat(1.4426950408889634));
    const v128_t k = wasm_f64x2_sub(wasm_f64x2_add(scaled, magic), magic);
    const v128_t r = wasm_f64x2_sub(x, wasm_f64x2_mul(k, wasm_f64x2_splat(0.6931471805599453)));
    v128_t p = one;
    for (int n = 13; n >= 1; --n)
      p = wasm_f64x2_add(one, wasm_f64x2_div(wasm_f64x2_mul(p, r), wasm_f64x2_splat(n)));
    const v128_t normal = wasm_f64x2_pmax(k, wasm_f64x2_splat(-1022));
    const v128_t bits = wasm_f64x2_add(normal, wasm_f64x2_splat(6755399441055744.0 + 1023));
    wasm_v128_store(values + i, wasm_f64x2_mul(p, wasm_i64x2_shl(bits, 52)));
  }
  exponentials(values + i, count - i);
}

constexpr Loops quicker(Loops loops) {
  loops.exponentials = exponentials_in_pairs;
  loops.depthwise = depthwise_in_pairs;
  loops.round = round_eight;
  loops.affine_bytes = affine_eight;
  loops.add = add_eight;
  return loops;
}
constexpr Loops kQuickLoops = quicker(kLoops);

bool supported() { return true; }  // or this module could not have been loaded

const RegisteredIsa registered({"simd128", 10, supported, &conv::kKernel, &kQuickLoops});

}  // namespace
}  // namespace lbw

#endif
