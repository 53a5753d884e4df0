// The 256-bit vector type, but for dot(): included into the anonymous namespace of a file,
// like row.inl.
struct Avx2 {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int lanes = 8, pixels = 6, vectors = 2;

  static inline Int broadcast(const uint8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
  }
  static inline Int weights(const int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }

  static inline Int load_int(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static inline void store_int(int32_t* p, Int a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
  }
  static inline Float load(const float* p) { return _mm256_loadu_ps(p); }
  static inline Int splat_int(int value) { return _mm256_set1_epi32(value); }
  static inline Float splat(float value) { return _mm256_set1_ps(value); }
  static inline Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static inline Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static inline Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static inline Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static inline Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static inline Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static inline Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static inline Int round(Float a) { return _mm256_cvtps_epi32(a); }
  static inline Int round_up(Float a) { return _mm256_cvtps_epi32(_mm256_ceil_ps(a)); }
  static inline Int load_u8(const uint8_t* p, int count) {
    int64_t eight = 0;
    if (count == lanes)
      __builtin_memcpy(&eight, p, lanes);
    else
      __builtin_memcpy(&eight, p, count);
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(eight));
  }
  static inline void store_u8(uint8_t* p, Int q, int count) {
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    const int64_t eight = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    if (count == lanes)
      __builtin_memcpy(p, &eight, lanes);
    else
      __builtin_memcpy(p, &eight, count);
  }
  static inline void store(float* p, Float t, int count) {
    const Int lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), t);
  }

  using Short = __m256i;
  static inline Short widen(const uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static inline void store_short(int16_t* p, Short a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
  }
  static inline Short add_short(Short a, Short b) { return _mm256_add_epi16(a, b); }
  static inline Short sub_short(Short a, Short b) { return _mm256_sub_epi16(a, b); }
  template <int n>
  static inline Short shift_short(Short a) { return _mm256_slli_epi16(a, n); }
  template <int n>
  static inline Int shift(Int a) { return _mm256_slli_epi32(a, n); }
  static inline Int shift_right(Int a, int n) { return _mm256_srai_epi32(a, n); }
  static inline Int multiply(Int a, Int b) { return _mm256_mullo_epi32(a, b); }
};
