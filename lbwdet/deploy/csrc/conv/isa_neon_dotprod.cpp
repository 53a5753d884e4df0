// NEON with the dot product extension. sdot multiplies signed by signed: inputs become
// q - 128 by flipping their top bit, and the packing corrects the sums (Kernel::flip).
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernel.h"
#include "target.h"

#if defined(__clang__)
LBW_TARGET_BEGIN("dotprod")
#else
LBW_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif

namespace lbw::conv {
namespace {

struct Vector {
  using Int = int32x4_t;
  using Float = float32x4_t;
  static constexpr int lanes = 4, pixels = 6, vectors = 4;

  static inline Int broadcast(const uint8_t* p) {
    uint32_t four;
    __builtin_memcpy(&four, p, 4);
    return vreinterpretq_s32_u32(vdupq_n_u32(four ^ 0x80808080u));
  }
  static inline Int weights(const int8_t* p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
  static inline Int dot(Int acc, Int x, Int w) {
    return vdotq_s32(acc, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(w));
  }

  static inline Int load_int(const int32_t* p) { return vld1q_s32(p); }
  static inline void store_int(int32_t* p, Int a) { vst1q_s32(p, a); }
  static inline Float load(const float* p) { return vld1q_f32(p); }
  static inline Int splat_int(int value) { return vdupq_n_s32(value); }
  static inline Float splat(float value) { return vdupq_n_f32(value); }
  static inline Int add(Int a, Int b) { return vaddq_s32(a, b); }
  static inline Int sub(Int a, Int b) { return vsubq_s32(a, b); }
  static inline Float add(Float a, Float b) { return vaddq_f32(a, b); }
  static inline Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  static inline Float min(Float a, Float b) { return vminq_f32(a, b); }
  static inline Float max(Float a, Float b) { return vmaxq_f32(a, b); }
  static inline Float to_float(Int a) { return vcvtq_f32_s32(a); }
  static inline Int round(Float a) { return vcvtnq_s32_f32(a); }
  static inline Int round_up(Float a) { return vcvtpq_s32_f32(a); }
  static inline Int load_u8(const uint8_t* p, int count) {
    uint32_t four = 0;
    __builtin_memcpy(&four, p, count);
    const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
  }
  static inline void store_u8(uint8_t* p, Int q, int count) {
    const uint16x4_t words = vqmovun_s32(q);
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
    __builtin_memcpy(p, &four, count);
  }
  static inline void store(float* p, Float t, int count) {
    float four[lanes];
    vst1q_f32(four, t);
    __builtin_memcpy(p, four, count * sizeof(float));
  }
};

#include "row.inl"

}  // namespace

const Kernel& neon_dotprod_kernel() {
  static const Kernel kernel{Isa::neon_dotprod, Vector::lanes, Vector::vectors, 0x80,
                             run_row<Vector>, nullptr};
  return kernel;
}

}  // namespace lbw::conv

LBW_TARGET_END

#endif
