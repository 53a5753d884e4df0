// WebAssembly's vectors of 128 bits: i32x4.dot_i16x8_s, since there is no product of bytes.
// Of four bytes, the even ones and the odd ones become pairs of int16 by a mask and shifts alone:
// shuffles, of which machines do few at a time, are not needed.
#if defined(__wasm_simd128__)

#include <wasm_simd128.h>

#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"

namespace lbw::conv {
namespace {

struct Vector {
  using Int = v128_t;
  using Float = v128_t;
  using Words = v128_t;
  static constexpr int lanes = 4, pixels = 4, vectors = 2;
  static constexpr int narrow_quads = 0;

  struct Halves {
    v128_t even, odd;  // of four bytes, numbers 0 and 2, and 1 and 3, as int16
  };

  static inline Halves broadcast(const uint8_t* p) {
    const v128_t four = wasm_v128_load32_splat(p);
    return {wasm_v128_and(four, wasm_i16x8_splat(255)), wasm_u16x8_shr(four, 8)};
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

constexpr Kernel kKernel = kernel_of<Vector>(0, nullptr);

}  // namespace
}  // namespace lbw::conv

namespace lbw {
namespace {

using Floats = float __attribute__((vector_size(16)));

inline Floats widen(const std::uint8_t* bytes, Floats) {
  const v128_t words = wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(bytes));
  return reinterpret_cast<Floats>(wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(words)));
}

inline void narrow(Floats values, std::uint8_t* out) {
  const v128_t wide = reinterpret_cast<v128_t>(values + 12582912.0f);  // the number in its low bits
  const v128_t bytes = wasm_i8x16_shuffle(wide, wide, 0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
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
  for (int i = 0; i < columns; ++i)
    for (int half = 0; half < 2; ++half) {
      const v128_t sum = wasm_f32x4_convert_i32x4(sums[i][half]);
      depthwise_output(task, reinterpret_cast<Floats>(sum), column + i, c + 4 * half);
    }
}

void depthwise_in_pairs(const DepthwiseTask& task) {
  const int pairs = (task.tap_count + 1) / 2;
  if (pairs > kMostPairs) return depthwise(task);
  int c = 0;
  for (; c + 8 <= task.channels; c += 8) {
    v128_t weights[2 * kMostPairs];
    for (int pair = 0; pair < pairs; ++pair) {
      const float* const weight = task.weight + c + 2 * pair * static_cast<std::ptrdiff_t>(task.channels);
      const v128_t first = words(weight);
      const v128_t second = 2 * pair + 1 < task.tap_count ? words(weight + task.channels)
                                                          : wasm_i16x8_splat(0);
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

constexpr Loops with_pairs(Loops loops) {
  loops.depthwise = depthwise_in_pairs;
  return loops;
}
constexpr Loops kPairLoops = with_pairs(kLoops);

bool supported() { return true; }  // or this module could not have been loaded

const RegisteredIsa registered({"simd128", 10, supported, &conv::kKernel, &kPairLoops});

}  // namespace
}  // namespace lbw

#endif
