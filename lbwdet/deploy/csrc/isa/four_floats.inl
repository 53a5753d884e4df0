// The 128-bit vector of the inner loops in plain C++: included into the anonymous namespace of a
// file, before loops.inl.
using Floats = float __attribute__((vector_size(16)));

inline Floats widen(const std::uint8_t* bytes, Floats) {
  return Floats{static_cast<float>(bytes[0]), static_cast<float>(bytes[1]),
                static_cast<float>(bytes[2]), static_cast<float>(bytes[3])};
}

inline void narrow(Floats values, std::uint8_t* out) {
  for (int lane = 0; lane < 4; ++lane) out[lane] = static_cast<std::uint8_t>(values[lane]);
}
