// Plain C++, for every CPU; compilers turn it into whatever vectors they may use.
#include <utility>

#include "../conv/kernel.h"
#include "../vector/loops.h"
#include "isa.h"

namespace lbw::conv {
namespace {

struct Vector {
  struct Int {
    int32_t v[8];
  };
  struct Float {
    float v[8];
  };
  struct Words {
    int16_t v[16];
  };
  static constexpr int lanes = 8, pixels = 4, vectors = 2, group = pixels;
  static constexpr bool kNarrow = false;
  static constexpr bool kSingle = false;

  template <class Result, class Function>
  static inline Result each(Function function) {
    Result result;
    for (int i = 0; i < static_cast<int>(sizeof(result.v) / sizeof(result.v[0])); ++i)
      result.v[i] = function(i);
    return result;
  }

  static inline const uint8_t* broadcast(const uint8_t* p) { return p; }
  static inline const int8_t* weights(const int8_t* p) { return p; }
  // Modulo 2**32, as vector instructions add: only the last sum must fit.
  static inline Int dot(Int acc, const uint8_t* x, const int8_t* w) {
    return each<Int>([&](int i) {
      const int8_t* four = w + 4 * i;
      const int products = x[0] * four[0] + x[1] * four[1] + x[2] * four[2] + x[3] * four[3];
      return static_cast<int32_t>(static_cast<uint32_t>(acc.v[i]) +
                                  static_cast<uint32_t>(products));
    });
  }

  static inline Int load_int(const int32_t* p) {
    return each<Int>([&](int i) { return p[i]; });
  }
  static inline void store_int(int32_t* p, Int a) {
    for (int i = 0; i < lanes; ++i) p[i] = a.v[i];
  }
  static inline Float load(const float* p) {
    return each<Float>([&](int i) { return p[i]; });
  }
  static inline Float splat(float value) {
    return each<Float>([&](int) { return value; });
  }
  static inline Float add(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static inline Float sub(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static inline Float mul(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static inline Float min(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static inline Float max(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static inline Float to_float(Int a) {
    return each<Float>([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static inline Float div(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] / b.v[i]; });
  }
  static inline Float times_power(Float p, Float t) {
    return each<Float>([&](int i) {
      uint32_t bits, whole;
      __builtin_memcpy(&bits, &p.v[i], 4);
      __builtin_memcpy(&whole, &t.v[i], 4);
      bits += whole << 23;
      float result;
      __builtin_memcpy(&result, &bits, 4);
      return result;
    });
  }
  // 1.5 * 2**23 leaves no bits for a fraction; what is beyond int16 is saturated anyway.
  static inline float nearest(float t) {
    t = t < -32768.0f ? -32768.0f : t > 32767.0f ? 32767.0f : t;
    return (t + 12582912.0f) - 12582912.0f;
  }
  static inline Int round(Float a) {
    return each<Int>([&](int i) { return static_cast<int32_t>(nearest(a.v[i])); });
  }
  static inline Int round_up(Float a) {
    return each<Int>([&](int i) {
      const float whole = nearest(a.v[i]);
      return static_cast<int32_t>(whole) + (whole < a.v[i] ? 1 : 0);
    });
  }

  // Where channel i of a pair lies: see Row.
  static inline int vector_of(int i) { return i / 4 % 2; }
  static inline int lane_of(int i) { return i / 8 * 4 + i % 4; }
  static inline int16_t saturate(int value) {
    return static_cast<int16_t>(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
  }
  static inline uint8_t byte(int value) {
    return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  }
  static inline Words splat_words(int value) {
    return each<Words>([&](int) { return static_cast<int16_t>(value); });
  }
  static inline Words narrow(Int a, Int b) {
    return each<Words>([&](int i) { return saturate((vector_of(i) ? b : a).v[lane_of(i)]); });
  }
  static inline Words add_words(Words a, Words b) {
    return each<Words>([&](int i) { return saturate(a.v[i] + b.v[i]); });
  }
  static inline Words min_words(Words a, Words b) {
    return each<Words>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static inline Words max_words(Words a, Words b) {
    return each<Words>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static inline void store_bytes(uint8_t* p, uint8_t* q, Words a, Words b, int count) {
    for (int i = 0; i < count; ++i) p[i] = byte(a.v[i]);
    for (int i = 0; i < count; ++i) q[i] = byte(b.v[i]);
  }
  static inline void unpack(const uint8_t* p, int count, Float& a, Float& b) {
    for (int i = 0; i < 2 * lanes; ++i)
      (vector_of(i) ? b : a).v[lane_of(i)] = 8388608.0f + (i < count ? p[i] : 0);
  }
  static inline void store(float* p, Float t, int count) {
    for (int i = 0; i < count; ++i) p[i] = t.v[i];
  }
};

#include "../conv/row.inl"

constexpr Kernel kKernel = kernel_of<Vector>(0, nullptr);

}  // namespace
}  // namespace lbw::conv

namespace lbw {
namespace {

#include "four_floats.inl"
#include "../vector/loops.inl"

}  // namespace
}  // namespace lbw

namespace lbw {
namespace {

bool supported() { return true; }

const RegisteredIsa registered({"portable", 0, supported, &conv::kKernel, &kLoops});

}  // namespace
}  // namespace lbw
