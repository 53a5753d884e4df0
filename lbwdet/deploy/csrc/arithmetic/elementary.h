// The float64 sine and logarithm, as runtime/arithmetic/sine.py and logarithm.py have them.
#pragma once

#include <cmath>

namespace lbw {

constexpr double kPi = 3.141592653589793;

inline double sine(double x) {
  const double magic = 6755399441055744.0;  // 1.5 * 2**52: the sum has no place for a fraction
  const double k = (x * (1 / kPi) + magic) - magic;
  const double r = x - k * kPi, q = r * r;
  double p = 1;
  for (int n = 10; n >= 1; --n) p = 1 - p * q / (2 * n * (2 * n + 1));
  return std::fmod(k, 2) == 0 ? r * p : -(r * p);
}

inline double logarithm(double x) {
  int k = 0;
  double m = std::frexp(x, &k);
  if (m < 0.75) m *= 2, --k;
  const double s = (m - 1) / (m + 1), q = s * s;
  double p = 0;
  for (int n = 14; n >= 0; --n) p = p * q + 1.0 / (2 * n + 1);
  return k * 0.6931471805599453 + 2 * s * p;
}

}  // namespace lbw
