// NEON with the dot product extension. sdot multiplies signed by signed: inputs become
// q - 128 by flipping their top bit, and the packing corrects the sums (Kernel::flip).
#if defined(__aarch64__)

#include <arm_neon.h>

#if defined(_WIN32)
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#endif

#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"
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
  using Words = int16x8_t;
  static constexpr int lanes = 4, pixels = 6, vectors = 4, group = pixels;
  static constexpr bool kNarrow = false;
  static constexpr bool kSingle = false;

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
  static inline Float splat(float value) { return vdupq_n_f32(value); }
  static inline Float add(Float a, Float b) { return vaddq_f32(a, b); }
  static inline Float sub(Float a, Float b) { return vsubq_f32(a, b); }
  static inline Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  static inline Float min(Float a, Float b) { return vminq_f32(a, b); }
  static inline Float max(Float a, Float b) { return vmaxq_f32(a, b); }
  static inline Float to_float(Int a) { return vcvtq_f32_s32(a); }
  static inline Float div(Float a, Float b) { return vdivq_f32(a, b); }
  static inline Float times_power(Float p, Float t) {
    const Int exponent = vshlq_n_s32(vreinterpretq_s32_f32(t), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), exponent));
  }
  static inline Int round(Float a) { return vcvtnq_s32_f32(a); }
  static inline Int round_up(Float a) { return vcvtpq_s32_f32(a); }

  static inline Words splat_words(int value) { return vdupq_n_s16(static_cast<int16_t>(value)); }
  static inline Words narrow(Int a, Int b) { return vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)); }
  static inline Words add_words(Words a, Words b) { return vqaddq_s16(a, b); }
  static inline Words min_words(Words a, Words b) { return vminq_s16(a, b); }
  static inline Words max_words(Words a, Words b) { return vmaxq_s16(a, b); }
  static inline void store_bytes(uint8_t* p, uint8_t* q, Words a, Words b, int count) {
    const uint8x8_t first = vqmovun_s16(a), second = vqmovun_s16(b);
    if (count == 2 * lanes) {
      vst1_u8(p, first);
      vst1_u8(q, second);
    } else {
      __builtin_memcpy(p, &first, count);
      __builtin_memcpy(q, &second, count);
    }
  }
  static inline void unpack(const uint8_t* p, int count, Float& a, Float& b) {
    uint8x8_t bytes = vdup_n_u8(0);
    if (count == 2 * lanes)
      bytes = vld1_u8(p);
    else
      __builtin_memcpy(&bytes, p, count);
    const uint16x8_t words = vmovl_u8(bytes), exponent = vdupq_n_u16(0x4B00);
    a = vreinterpretq_f32_u16(vzip1q_u16(words, exponent));
    b = vreinterpretq_f32_u16(vzip2q_u16(words, exponent));
  }
  static inline void store(float* p, Float t, int count) {
    float four[lanes];
    vst1q_f32(four, t);
    __builtin_memcpy(p, four, count * sizeof(float));
  }
};

#include "../conv/row.inl"

constexpr Kernel kKernel = kernel_of<Vector>(0x80, nullptr);

}  // namespace
}  // namespace lbw::conv

namespace lbw {
namespace {

#include "four_floats.inl"
#include "../vector/loops.inl"

}  // namespace
}  // namespace lbw

LBW_TARGET_END

namespace lbw {
namespace {

#if defined(__linux__)
bool supported() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#elif defined(_WIN32)
bool supported() { return IsProcessorFeaturePresent(43); }  // ..._ARM_V82_DP_INSTRUCTIONS_...
#elif defined(__APPLE__)
bool supported() { return true; }  // every Apple CPU that runs aarch64 macOS has it
#else
bool supported() { return false; }
#endif

const RegisteredIsa registered({"neon_dotprod", 10, supported, &conv::kKernel, &kLoops});

}  // namespace
}  // namespace lbw

#endif
