#if defined(__x86_64__)
#include <immintrin.h>

#include "../conv/target.h"
#include "loops.h"

LBW_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq")

namespace lbw {
namespace avx512 {
namespace {

using Floats = float __attribute__((vector_size(64)));

inline Floats widen(const std::uint8_t* bytes, Floats) {
  const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(narrow));
}

inline void narrow(Floats values, std::uint8_t* out) {
  const __m512i wide = _mm512_cvttps_epi32(values);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(wide));
}

#include "loops.inc"

}  // namespace
}  // namespace avx512
}  // namespace lbw

LBW_TARGET_END

LBW_TARGET_BEGIN("avx512f,avx512bw,avx512vbmi")

namespace lbw {
namespace avx512 {
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
}  // namespace avx512
}  // namespace lbw

LBW_TARGET_END

namespace lbw {

// Some CPUs have the rest of this instruction set, but not VBMI.
const Loops kAvx512Loops = {
    avx512::exponentials, avx512::resize_row, avx512::blend, avx512::maximum,
    __builtin_cpu_supports("avx512vbmi") ? avx512::look_up_vbmi : avx512::look_up,
    avx512::mark_overlaps, avx512::roi_align};

}  // namespace lbw

#endif
