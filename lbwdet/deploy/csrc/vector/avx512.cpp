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

const Loops kAvx512Loops = {avx512::exponentials, avx512::resize_row, avx512::blend, avx512::maximum,
                          avx512::mark_overlaps, avx512::roi_align};

}  // namespace lbw

LBW_TARGET_END

#endif
