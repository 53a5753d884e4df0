// The 128-bit vector of the inner loops in plain C++: included into the anonymous namespace of a
// file, before loops.inl.
using Floats = float __attribute__((vector_size(16)));

using TwoDoubles = double __attribute__((vector_size(16)));
#if defined(__aarch64__)
constexpr bool kFusedAdd = true;
#else
constexpr bool kFusedAdd = false;
#endif
inline TwoDoubles fused_add(TwoDoubles a, TwoDoubles b, TwoDoubles c) {
  return TwoDoubles{__builtin_fma(a[0], b[0], c[0]), __builtin_fma(a[1], b[1], c[1])};
}

inline Floats widen(const std::uint8_t* bytes, Floats) {
  return Floats{static_cast<float>(bytes[0]), static_cast<float>(bytes[1]),
                static_cast<float>(bytes[2]), static_cast<float>(bytes[3])};
}

inline void narrow(Floats values, std::uint8_t* out) {
  for (int lane = 0; lane < 4; ++lane) out[lane] = static_cast<std::uint8_t>(values[lane]);
}
