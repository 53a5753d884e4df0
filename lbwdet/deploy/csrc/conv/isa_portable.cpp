// Plain C++, for every CPU; compilers turn it into whatever vectors they may use.
#include "kernel.h"

namespace lbw::conv {
namespace {

struct Vector {
  struct Int {
    int32_t v[8];
  };
  struct Float {
    float v[8];
  };
  static constexpr int lanes = 8, pixels = 4, vectors = 1;

  template <class Result, class Function>
  static inline Result each(Function function) {
    Result result;
    for (int i = 0; i < lanes; ++i) result.v[i] = function(i);
    return result;
  }

  static inline const uint8_t* broadcast(const uint8_t* p) { return p; }
  static inline const int8_t* weights(const int8_t* p) { return p; }
  static inline Int dot(Int acc, const uint8_t* x, const int8_t* w) {
    return each<Int>([&](int i) {
      const int8_t* four = w + 4 * i;
      return acc.v[i] + x[0] * four[0] + x[1] * four[1] + x[2] * four[2] + x[3] * four[3];
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
  static inline Int splat_int(int value) {
    return each<Int>([&](int) { return value; });
  }
  static inline Float splat(float value) {
    return each<Float>([&](int) { return value; });
  }
  static inline Int add(Int a, Int b) {
    return each<Int>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static inline Int sub(Int a, Int b) {
    return each<Int>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static inline Float add(Float a, Float b) {
    return each<Float>([&](int i) { return a.v[i] + b.v[i]; });
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
  // Of numbers between -255 and 255: 1.5 * 2**23 leaves no bits for a fraction.
  static inline float nearest(float t) { return (t + 12582912.0f) - 12582912.0f; }
  static inline Int round(Float a) {
    return each<Int>([&](int i) { return static_cast<int32_t>(nearest(a.v[i])); });
  }
  static inline Int round_up(Float a) {
    return each<Int>([&](int i) {
      const float whole = nearest(a.v[i]);
      return static_cast<int32_t>(whole) + (whole < a.v[i]);
    });
  }
  static inline Int load_u8(const uint8_t* p, int count) {
    return each<Int>([&](int i) { return i < count ? p[i] : 0; });
  }
  static inline void store_u8(uint8_t* p, Int q, int count) {
    for (int i = 0; i < count; ++i) p[i] = static_cast<uint8_t>(q.v[i]);
  }
  static inline void store(float* p, Float t, int count) {
    for (int i = 0; i < count; ++i) p[i] = t.v[i];
  }
};

#include "row.inl"

}  // namespace

const Kernel& portable_kernel() {
  static const Kernel kernel{Isa::portable, Vector::lanes, Vector::vectors, 0, run_row<Vector>,
                             nullptr};
  return kernel;
}

}  // namespace lbw::conv
