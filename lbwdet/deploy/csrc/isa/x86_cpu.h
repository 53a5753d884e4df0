// What this CPU and its operating system let a program use, by the CPU's own words.
// (__builtin_cpu_supports is another library's, which not every program is linked with.)
#pragma once

#if defined(__x86_64__)

#include <cpuid.h>

#include <cstdint>

namespace lbw {

enum class Register { eax, ebx, ecx, edx };

// One bit of what cpuid says. Source: Intel's and AMD's manuals of the instruction.
inline bool cpu_says(unsigned leaf, unsigned part, Register where, int bit) {
  unsigned found[4] = {};
  return __get_cpuid_count(leaf, part, &found[0], &found[1], &found[2], &found[3]) &&
         (found[static_cast<int>(where)] >> bit & 1);
}

// Whether the system keeps these registers of each thread: bits of the register XCR0.
inline bool system_keeps(std::uint32_t registers) {
  if (!cpu_says(1, 0, Register::ecx, 27)) return false;  // it has no xgetbv
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & registers) == registers;
}

// With FMA, as all of them but VIA's have.
inline bool cpu_has_avx2() {
  return system_keeps(0x6) && cpu_says(7, 0, Register::ebx, 5) && cpu_says(1, 0, Register::ecx, 12);
}

inline bool cpu_has_avx_vnni() { return cpu_has_avx2() && cpu_says(7, 1, Register::eax, 4); }

// With the vector lengths and the bytes and words that the kernels use.
inline bool cpu_has_avx512_vnni() {
#if defined(__APPLE__)
  const bool kept = cpu_has_avx2();  // there the system keeps them once a program uses them
#else
  const bool kept = cpu_has_avx2() && system_keeps(0xe6);
#endif
  for (int bit : {16, 17, 30, 31})  // F, DQ, BW, VL
    if (!kept || !cpu_says(7, 0, Register::ebx, bit)) return false;
  return cpu_says(7, 0, Register::ecx, 11);
}

inline bool cpu_has_avx512_vbmi() {
  return cpu_has_avx512_vnni() && cpu_says(7, 0, Register::ecx, 1);
}

}  // namespace lbw

#endif
