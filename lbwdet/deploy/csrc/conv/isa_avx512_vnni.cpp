// AVX-512 with VNNI: vpdpbusd on 512 bits, 14 pixels by 32 channels in 28 registers.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernel.h"
#include "target.h"

LBW_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

namespace lbw::conv {
namespace {

struct Vector {
  using Int = __m512i;
  using Float = __m512;
  static constexpr int lanes = 16, pixels = 14, vectors = 2;

  static inline Int broadcast(const uint8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
  }
  static inline Int weights(const int8_t* p) { return _mm512_loadu_si512(p); }
  static inline Int dot(Int acc, Int x, Int w) { return _mm512_dpbusd_epi32(acc, x, w); }

  static inline Int load_int(const int32_t* p) { return _mm512_loadu_si512(p); }
  static inline void store_int(int32_t* p, Int a) { _mm512_storeu_si512(p, a); }
  static inline Float load(const float* p) { return _mm512_loadu_ps(p); }
  static inline Int splat_int(int value) { return _mm512_set1_epi32(value); }
  static inline Float splat(float value) { return _mm512_set1_ps(value); }
  static inline Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static inline Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static inline Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static inline Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static inline Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static inline Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static inline Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static inline Int round(Float a) { return _mm512_cvtps_epi32(a); }
  static inline Int round_up(Float a) {
    return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  }
  static inline __mmask16 mask(int count) { return static_cast<__mmask16>((1u << count) - 1); }
  static inline Int load_u8(const uint8_t* p, int count) {
    if (count == lanes)
      return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask(count), p));
  }
  static inline void store_u8(uint8_t* p, Int q, int count) {
    if (count == lanes)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(q));
    else
      _mm_mask_storeu_epi8(p, mask(count), _mm512_cvtepi32_epi8(q));
  }
  static inline void store(float* p, Float t, int count) {
    _mm512_mask_storeu_ps(p, mask(count), t);
  }

  using Short = __m512i;
  static inline Short widen(const uint8_t* p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static inline void store_short(int16_t* p, Short a) { _mm512_storeu_si512(p, a); }
  static inline Short add_short(Short a, Short b) { return _mm512_add_epi16(a, b); }
  static inline Short sub_short(Short a, Short b) { return _mm512_sub_epi16(a, b); }
  template <int n>
  static inline Short shift_short(Short a) { return _mm512_slli_epi16(a, n); }
  template <int n>
  static inline Int shift(Int a) { return _mm512_slli_epi32(a, n); }
  static inline Int shift_right(Int a, int n) { return _mm512_srai_epi32(a, n); }
  static inline Int multiply(Int a, Int b) { return _mm512_mullo_epi32(a, b); }
  static inline Int dot_pairs(Int acc, Int x, Int w) {
    asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
    return acc;
  }
};

#include "row.inl"
#include "winograd.inl"

}  // namespace

const Kernel& avx512_vnni_kernel() {
  static const WinogradKernel winograd{Vector::lanes, run_winograd<Vector>};
  static const Kernel kernel{Isa::avx512_vnni, Vector::lanes, Vector::vectors, 0, run_row<Vector>,
                             &winograd};
  return kernel;
}

}  // namespace lbw::conv

LBW_TARGET_END

#endif
