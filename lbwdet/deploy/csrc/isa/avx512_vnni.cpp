// AVX-512 with VNNI: vpdpbusd on 512 bits, 14 pixels by 32 channels in 28 registers.
#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"
#include "target.h"
#include "x86_cpu.h"

LBW_TARGET_BEGIN("fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

namespace lbw::conv {
namespace {

struct Vector {
  using Int = __m512i;
  using Float = __m512;
  using Words = __m512i;
  static constexpr int lanes = 16, pixels = 14, vectors = 2, group = pixels;
  static constexpr bool kNarrow = false;
  static constexpr bool kSingle = false;

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
  static inline Float splat(float value) { return _mm512_set1_ps(value); }
  static inline Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static inline Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static inline Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static inline Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static inline Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static inline Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static inline Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static inline Float times_power(Float p, Float t) {
    const Int exponent = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
  }
  static inline Int round(Float a) { return _mm512_cvtps_epi32(a); }
  static inline Int round_up(Float a) {
    return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  }

  static inline Words splat_words(int value) {
    return _mm512_set1_epi16(static_cast<int16_t>(value));
  }
  static inline Words narrow(Int a, Int b) { return _mm512_packs_epi32(a, b); }
  static inline Words add_words(Words a, Words b) { return _mm512_adds_epi16(a, b); }
  static inline Words min_words(Words a, Words b) { return _mm512_min_epi16(a, b); }
  static inline Words max_words(Words a, Words b) { return _mm512_max_epi16(a, b); }
  static inline __mmask32 mask(int count) {
    return static_cast<__mmask32>((uint64_t{1} << count) - 1);
  }
  static inline void store_bytes(uint8_t* p, uint8_t* q, Words a, Words b, int count) {
    // Eight bytes of a, eight of b, ...: the even, then the odd quarters.
    const __m512i both = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                                  _mm512_packus_epi16(a, b));
    const __m256i first = _mm512_castsi512_si256(both);
    const __m256i second = _mm512_extracti64x4_epi64(both, 1);
    if (count == 2 * lanes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), first);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), second);
    } else {
      _mm256_mask_storeu_epi8(p, mask(count), first);
      _mm256_mask_storeu_epi8(q, mask(count), second);
    }
  }
  static inline void unpack(const uint8_t* p, int count, Float& a, Float& b) {
    const __m256i bytes =
        count == 2 * lanes ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
                           : _mm256_maskz_loadu_epi8(mask(count), p);
    const Words words = _mm512_cvtepu8_epi16(bytes), exponent = _mm512_set1_epi16(0x4B00);
    a = _mm512_castsi512_ps(_mm512_unpacklo_epi16(words, exponent));
    b = _mm512_castsi512_ps(_mm512_unpackhi_epi16(words, exponent));
  }
  static inline void store(float* p, Float t, int count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask(count)), t);
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
  static inline Int splat_int(int value) { return _mm512_set1_epi32(value); }
  static inline Int add_int(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static inline Int sub_int(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  template <int n>
  static inline Int shift(Int a) { return _mm512_slli_epi32(a, n); }
  static inline Int shift_right(Int a, int n) { return _mm512_srai_epi32(a, n); }
  static inline Int multiply(Int a, Int b) { return _mm512_mullo_epi32(a, b); }
  static inline Int dot_pairs(Int acc, Int x, Int w) {
    // In place: gcc 12 copies registers around the intrinsic.
    asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
    return acc;
  }
};

#include "../conv/row.inl"
#include "../conv/winograd.inl"
#include "avx2.inl"
#include "avx2_depthwise.inl"

// Few channels fill 256 bits, not 512.
struct Half : Avx2 {
  static constexpr bool kNarrow = false;
  static constexpr bool kSingle = false;
  static inline Int dot(Int acc, Int x, Int w) { return _mm256_dpbusd_epi32(acc, x, w); }
};

constexpr WinogradKernel kWinograd{Vector::lanes, run_winograd<Vector>};
constexpr Kernel kKernel = kernel_of<Vector>(0, &kWinograd, depthwise<Half>);

}  // namespace
}  // namespace lbw::conv

namespace lbw {
namespace {

using Floats = float __attribute__((vector_size(64)));

constexpr bool kFusedAdd = true;
inline __m512d fused_add(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }

inline Floats widen(const std::uint8_t* bytes, Floats) {
  const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(narrow));
}

inline void narrow(Floats values, std::uint8_t* out) {
  const __m512i wide = _mm512_cvttps_epi32(values);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(wide));
}


#include "../vector/loops.inl"

}  // namespace
}  // namespace lbw

LBW_TARGET_END

LBW_TARGET_BEGIN("avx512f,avx512bw,avx512vbmi")

namespace lbw {
namespace {

// The table in four registers: each instruction looks 64 bytes up in two of them.
void look_up_vbmi(const std::uint8_t* table, const std::uint8_t* in, std::size_t count,
                  std::uint8_t* out) {
  __m512i part[4];
  for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(table + 64 * i);
  for (std::size_t i = 0; i < count; i += 64) {
    const std::size_t rest = count - i;
    const __mmask64 some = rest < 64 ? (__mmask64{1} << rest) - 1 : ~__mmask64{0};
    const __m512i index = _mm512_maskz_loadu_epi8(some, in + i);
    const __m512i low = _mm512_permutex2var_epi8(part[0], index, part[1]);
    const __m512i high = _mm512_permutex2var_epi8(part[2], index, part[3]);
    _mm512_mask_storeu_epi8(out + i, some,
                            _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
  }
}

}  // namespace
}  // namespace lbw

LBW_TARGET_END

namespace lbw {
namespace {

// Some CPUs have the rest of this instruction set, but not VBMI.
const Loops* loops_of_this_cpu() {
  static Loops loops = kLoops;
  if (cpu_has_avx512_vbmi()) loops.look_up = look_up_vbmi;
  return &loops;
}

const RegisteredIsa registered(
    {"avx512_vnni", 40, cpu_has_avx512_vnni, &conv::kKernel, loops_of_this_cpu()});

}  // namespace
}  // namespace lbw

#endif
