// AVX2: vpmaddubsw, vpmaddwd, vpaddd. Pairs of products fit int16, since |weight| <= 64.
#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"
#include "target.h"
#include "x86_cpu.h"

LBW_TARGET_BEGIN("avx2,fma")

namespace lbw::conv {
namespace {

#include "avx2.inl"

struct Vector : Avx2 {
  static inline Int ones() { return _mm256_set1_epi16(1); }
  static inline Int dot(Int acc, Int x, Int w) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones()));
  }
  static inline Int dot_pairs(Int acc, Int x, Int w) {
    return add_int(acc, _mm256_madd_epi16(x, w));
  }

  static inline Int dot_two(Int acc, Int x, Int w, Int other_x, Int other_w) {
    const Int sums =
        _mm256_add_epi16(_mm256_maddubs_epi16(x, w), _mm256_maddubs_epi16(other_x, other_w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(sums, ones()));
  }

  // Weights of few bits: two instructions instead of three.
  static constexpr bool kNarrow = true;
  static constexpr int pair_pixels = 4;
  struct Narrow : Avx2 {
    static inline Int zero() { return _mm256_setzero_si256(); }
    static inline Int dot(Int acc, Int x, Int w) {
      return _mm256_add_epi16(acc, _mm256_maddubs_epi16(x, w));
    }
    static inline Int widen(Int sum, Int acc) {
      return _mm256_add_epi32(sum, _mm256_madd_epi16(acc, ones()));
    }
  };
};

#include "../conv/row.inl"
#include "../conv/winograd.inl"
#include "avx2_depthwise.inl"

constexpr WinogradKernel kWinograd{Vector::lanes, run_winograd<Vector>};
constexpr Kernel kKernel = kernel_of<Vector>(0, &kWinograd, depthwise<Vector>);

}  // namespace
}  // namespace lbw::conv

namespace lbw {
namespace {

#include "avx2_floats.inl"
#include "../vector/loops.inl"

}  // namespace
}  // namespace lbw

LBW_TARGET_END

namespace lbw {
namespace {

const RegisteredIsa registered({"avx2", 20, cpu_has_avx2, &conv::kKernel, &kLoops});

}  // namespace
}  // namespace lbw

#endif
