// Which kernels this build has and this CPU can run.
#include <stdexcept>
#include <string>

#include "kernel.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lbw::conv {
namespace {

#if defined(__x86_64__)
// Not every compiler knows "avxvnni" here: leaf 7.1, EAX bit 4. The registers are those of
// AVX2, whose check covers the operating system's part.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a >> 4 & 1);
}
#endif

const Isa kFastestFirst[] = {Isa::avx512_vnni, Isa::avx_vnni, Isa::avx2, Isa::neon_dotprod,
                             Isa::portable};

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::neon_dotprod: return "neon_dotprod";
    case Isa::avx2: return "avx2";
    case Isa::avx_vnni: return "avx_vnni";
    case Isa::avx512_vnni: return "avx512_vnni";
  }
  return "unknown";
}

bool supported(Isa isa) {
  switch (isa) {
    case Isa::portable: return true;
#if defined(__x86_64__)
    case Isa::avx2: return __builtin_cpu_supports("avx2");
    case Isa::avx_vnni: return has_avx_vnni();
    case Isa::avx512_vnni:
      return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
#if defined(__aarch64__) && defined(__linux__)
    case Isa::neon_dotprod: return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__aarch64__) && defined(__APPLE__)
    case Isa::neon_dotprod: return true;  // every Apple CPU that runs aarch64 macOS has it
#endif
    default: return false;
  }
}

Isa best() {
  for (Isa isa : kFastestFirst)
    if (supported(isa)) return isa;
  return Isa::portable;
}

std::vector<Isa> all_supported() {
  std::vector<Isa> result;
  for (Isa isa : kFastestFirst)
    if (supported(isa)) result.push_back(isa);
  return result;
}

const Kernel& kernel_of(Isa isa) {
  if (supported(isa)) {
    switch (isa) {
#if defined(__x86_64__)
      case Isa::avx2: return avx2_kernel();
      case Isa::avx_vnni: return avx_vnni_kernel();
      case Isa::avx512_vnni: return avx512_vnni_kernel();
#endif
#if defined(__aarch64__)
      case Isa::neon_dotprod: return neon_dotprod_kernel();
#endif
      case Isa::portable: return portable_kernel();
      default: break;
    }
  }
  std::string list;
  for (Isa other : all_supported()) list += std::string(list.empty() ? "" : ", ") + name(other);
  throw std::invalid_argument(std::string("convolution: no kernel '") + name(isa) +
                              "' on this CPU; there are: " + list);
}

}  // namespace lbw::conv
