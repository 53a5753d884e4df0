// The 256-bit vector type, but for dot(): included into the anonymous namespace of a file,
// like row.inl.
struct Avx2 {
  using Int = __m256i;
  using Float = __m256;
  using Words = __m256i;
  static constexpr int lanes = 8, pixels = 6, vectors = 2, group = 48;

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
  static inline Float splat(float value) { return _mm256_set1_ps(value); }
  static inline Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static inline Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static inline Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static inline Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static inline Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static inline Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static inline Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static inline Float times_power(Float p, Float t) {
    const Int exponent = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  }
  static inline Int round(Float a) { return _mm256_cvtps_epi32(a); }
  static inline Int round_up(Float a) { return _mm256_cvtps_epi32(_mm256_ceil_ps(a)); }

  static inline Words splat_words(int value) {
    return _mm256_set1_epi16(static_cast<int16_t>(value));
  }
  static inline Words narrow(Int a, Int b) { return _mm256_packs_epi32(a, b); }
  static inline Words add_words(Words a, Words b) { return _mm256_adds_epi16(a, b); }
  static inline Words min_words(Words a, Words b) { return _mm256_min_epi16(a, b); }
  static inline Words max_words(Words a, Words b) { return _mm256_max_epi16(a, b); }
  static inline void store_bytes(uint8_t* p, uint8_t* q, Words a, Words b, int count) {
    // Eight bytes of a, eight of b, ...: the even, then the odd quarters.
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0b11011000);
    const __m128i first = _mm256_castsi256_si128(both);
    const __m128i second = _mm256_extracti128_si256(both, 1);
    if (count == 2 * lanes) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), first);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q), second);
    } else {
      __builtin_memcpy(p, &first, count);
      __builtin_memcpy(q, &second, count);
    }
  }
  static constexpr bool kSingle = true;
  static inline void store_single(uint8_t* p, uint8_t* q, Words a, int count) {
    const __m256i bytes = _mm256_packus_epi16(a, a);  // in either half: four of p, four of q
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes),
                                            _mm256_extracti128_si256(bytes, 1));
    const __m128i second = _mm_unpackhi_epi64(both, both);
    if (count == lanes) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p), both);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(q), second);
    } else {
      __builtin_memcpy(p, &both, count);
      __builtin_memcpy(q, &second, count);
    }
  }
  static inline Float to_floats(const uint8_t* p, int count) {
    __m128i bytes = _mm_setzero_si128();
    if (count == lanes)
      bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    else
      __builtin_memcpy(&bytes, p, count);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }
  static inline void unpack(const uint8_t* p, int count, Float& a, Float& b) {
    __m128i bytes = _mm_setzero_si128();
    if (count == 2 * lanes)
      bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    else
      __builtin_memcpy(&bytes, p, count);
    const Words words = _mm256_cvtepu8_epi16(bytes), exponent = _mm256_set1_epi16(0x4B00);
    a = _mm256_castsi256_ps(_mm256_unpacklo_epi16(words, exponent));
    b = _mm256_castsi256_ps(_mm256_unpackhi_epi16(words, exponent));
  }
  static inline void store(float* p, Float t, int count) {
    if (count >= lanes) return _mm256_storeu_ps(p, t);  // a masked one takes longer
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
  static inline Int splat_int(int value) { return _mm256_set1_epi32(value); }
  static inline Int add_int(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static inline Int sub_int(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  template <int n>
  static inline Int shift(Int a) { return _mm256_slli_epi32(a, n); }
  static inline Int shift_right(Int a, int n) { return _mm256_srai_epi32(a, n); }
  static inline Int multiply(Int a, Int b) { return _mm256_mullo_epi32(a, b); }
};
