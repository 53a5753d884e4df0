// Inner loops of every instruction set of this CPU against their definition, bit by bit: those whose
// order of operations differs from it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../isa/isa.h"
#include "../vector/loops.h"

namespace {

long checks = 0, failures = 0;

// runtime/arithmetic/boxes.py, with its divisions.
double defined_exponential(double x) {
  const double k = std::nearbyint(x * 1.4426950408889634), r = x - k * 0.6931471805599453;
  double p = 1;
  for (int n = 13; n >= 1; --n) p = 1 + p * r / n;
  return std::ldexp(p, static_cast<int>(std::max(k, -2000.0)));
}

void check(const lbw::Isa& isa, const std::vector<double>& x) {
  std::vector<double> found = x;
  isa.loops->exponentials(found.data(), found.size());
  for (std::size_t i = 0; i < x.size(); ++i, ++checks) {
    const double expected = defined_exponential(x[i]);
    // Below 2**-1022 engines have other numbers, which are all next to 0.
    if (std::memcmp(&found[i], &expected, sizeof expected) == 0 ||
        (expected < std::numeric_limits<double>::min() && found[i] < 1e-307))
      continue;
    if (++failures < 20)
      std::printf("%s: exp(%.17g) is %a, not %a\n", isa.name, x[i], found[i], expected);
  }
}

}  // namespace

int main() {
  std::mt19937_64 random(0);
  for (const lbw::Isa& isa : lbw::instruction_sets()) {
    if (!isa.supported()) continue;
    std::printf("%s ", isa.name);
    for (const double scale : {1e-300, 1e-9, 0.3, 8.0, 700.0}) {
      std::uniform_real_distribution<double> some(-scale, scale);
      std::vector<double> x(100'000);
      for (double& each : x) each = some(random);
      check(isa, x);
      // As logits are: numbers of float32, whose quotients are more often next to a tie.
      for (double& each : x) each = static_cast<float>(each);
      check(isa, x);
    }
    check(isa, {0.0, -0.0, -708, 709, -800, -5000, -1e30, 0.34657359027997264, -0.34657359027997264});
    for (std::size_t count = 0; count < 40; ++count) {
      std::vector<double> x(count);
      for (std::size_t i = 0; i < count; ++i) x[i] = 0.1 * static_cast<double>(i) - 2;
      check(isa, x);
    }
  }
  std::printf("\n%ld checks, %ld failures\n", checks, failures);
  return failures ? 1 : 0;
}
