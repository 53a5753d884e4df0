// AVX2: vpmaddubsw, vpmaddwd, vpaddd. Pairs of products fit int16, since |weight| <= 64.
#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#include "kernel.h"
#include "target.h"

LBW_TARGET_BEGIN("avx2")

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

  // Weights of few bits: two instructions instead of three.
  static constexpr int narrow_quads = 3;
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

#include "row.inl"
#include "winograd.inl"

}  // namespace

const Kernel& avx2_kernel() {
  static const WinogradKernel winograd{Vector::lanes, run_winograd<Vector>};
  static const Kernel kernel{Isa::avx2, Vector::lanes, Vector::vectors,
                             Vector::narrow_quads, 0, run_row<Vector>, &winograd};
  return kernel;
}

}  // namespace lbw::conv

LBW_TARGET_END

#endif
