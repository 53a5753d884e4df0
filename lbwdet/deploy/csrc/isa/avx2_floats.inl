// The 256-bit vector of the inner loops: included into the anonymous namespace of a file, before
// loops.inl.
using Floats = float __attribute__((vector_size(32)));

constexpr bool kFusedAdd = true;
inline __m256d fused_add(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }

inline Floats widen(const std::uint8_t* bytes, Floats) {
  const __m128i narrow = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(narrow));
}

inline void narrow(Floats values, std::uint8_t* out) {
  const __m256i wide = _mm256_cvttps_epi32(values);
  const __m128i half =
      _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(half, half));
}
