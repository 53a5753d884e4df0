// AVX-VNNI: vpdpbusd on 256 bits, for CPUs without AVX-512.
#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#include "kernel.h"
#include "target.h"

LBW_TARGET_BEGIN("avx2,avxvnni")

namespace lbw::conv {
namespace {

#include "avx2.inl"

struct Vector : Avx2 {
  static constexpr int narrow_quads = 0;
  static inline Int dot(Int acc, Int x, Int w) { return _mm256_dpbusd_avx_epi32(acc, x, w); }
  static inline Int dot_pairs(Int acc, Int x, Int w) { return _mm256_dpwssd_avx_epi32(acc, x, w); }
};

#include "row.inl"
#include "winograd.inl"

}  // namespace

const Kernel& avx_vnni_kernel() {
  static const WinogradKernel winograd{Vector::lanes, run_winograd<Vector>};
  static const Kernel kernel{Isa::avx_vnni, Vector::lanes, Vector::vectors,
                             Vector::narrow_quads, 0, run_row<Vector>, &winograd};
  return kernel;
}

}  // namespace lbw::conv

LBW_TARGET_END

#endif
