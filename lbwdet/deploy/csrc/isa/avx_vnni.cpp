// AVX-VNNI: vpdpbusd on 256 bits, for CPUs without AVX-512.
#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"
#include "target.h"
#include "x86_cpu.h"

LBW_TARGET_BEGIN("avx2,fma,avxvnni")

namespace lbw::conv {
namespace {

#include "avx2.inl"

struct Vector : Avx2 {
  static constexpr bool kNarrow = false;
  static inline Int dot(Int acc, Int x, Int w) { return _mm256_dpbusd_avx_epi32(acc, x, w); }
  static inline Int dot_pairs(Int acc, Int x, Int w) { return _mm256_dpwssd_avx_epi32(acc, x, w); }
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

const RegisteredIsa registered({"avx_vnni", 30, cpu_has_avx_vnni, &conv::kKernel, &kLoops});

}  // namespace
}  // namespace lbw

#endif
