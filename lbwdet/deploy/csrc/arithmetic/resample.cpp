#include "resample.h"

#include <algorithm>
#include <cmath>

namespace lbw {

std::int64_t Resampling::most(double source, double target) {
  return 2 * static_cast<std::int64_t>(std::ceil(std::max(source / target, 1.0))) + 1;
}

double Resampling::scratch(double source, double target) {
  return 2 * scratch_bytes<int>(target) +
         scratch_bytes<std::int32_t>(target * static_cast<double>(most(source, target)));
}

Resampling::Resampling(int source, int target, Scratch& memory)
    : most_(most(source, target)),
      first_(memory.take<int>(target)),
      count_(memory.take<int>(target)),
      weights_(memory.take<std::int32_t>(target * most_)) {
  const double step = static_cast<double>(source) / target, reach = std::max(step, 1.0);
  for (int t = 0; t < target; ++t) {
    const double center = (t + 0.5) * step;
    const int first = static_cast<int>(std::max(std::trunc(center - reach + 0.5), 0.0));
    const int end =
        static_cast<int>(std::min(std::trunc(center + reach + 0.5), static_cast<double>(source)));
    const auto share = [&](int i) {
      const double far = std::fabs((i - center + 0.5) * (1 / reach));
      return far < 1 ? 1 - far : 0.0;
    };
    double total = 0;
    for (int i = first; i < end; ++i) total += share(i);
    first_[t] = first, count_[t] = end - first;
    std::int32_t* const weights = weights_ + t * most_;
    for (int i = first; i < end; ++i)
      weights[i - first] =
          static_cast<std::int32_t>(std::trunc(0.5 + share(i) / total * (1 << kBits)));
  }
}

}  // namespace lbw
