// AVX2: vpmaddubsw, vpmaddwd, vpaddd. Pairs of products fit int16, since |weight| <= 64.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernel.h"
#include "target.h"

LBW_TARGET_BEGIN("avx2")

namespace lbw::conv {
namespace {

#include "avx2.inl"

struct Vector : Avx2 {
  static inline Int dot(Int acc, Int x, Int w) {
    return add(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)));
  }
  static inline Int dot_pairs(Int acc, Int x, Int w) { return add(acc, _mm256_madd_epi16(x, w)); }
};

#include "row.inl"
#include "winograd.inl"

}  // namespace

const Kernel& avx2_kernel() {
  static const WinogradKernel winograd{Vector::lanes, run_winograd<Vector>};
  static const Kernel kernel{Isa::avx2, Vector::lanes, Vector::vectors, 0, run_row<Vector>,
                             &winograd};
  return kernel;
}

}  // namespace lbw::conv

LBW_TARGET_END

#endif
