// Smaller images as means of all pixels that each new one covers: Pillow's bilinear, see
// lbwdet/deploy/runtime/arithmetic/antialias.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "../engine/scratch.h"

namespace lbw {

// Which pixels of an axis each new one is made of, with their integer weights.
class Coverage {
 public:
  Coverage(int source, int target, Scratch& memory)
      : most_(most(source, target)),
        firsts_(memory.take<std::int32_t>(target)),
        counts_(memory.take<std::int32_t>(target)),
        weights_(memory.take<std::int32_t>(static_cast<std::size_t>(target) * most_)),
        reals_(memory.take<double>(most_)) {
    const double scale = static_cast<double>(source) / target, reach = std::max(scale, 1.0);
    const double inverse = 1 / reach;
    for (int i = 0; i < target; ++i) {
      const double centre = (i + 0.5) * scale;
      const int first = std::max(static_cast<int>(centre - reach + 0.5), 0);
      const int last = std::min(static_cast<int>(centre + reach + 0.5), source);
      double total = 0;
      for (int p = first; p < last; ++p) {
        const double away = std::abs(((p - centre) + 0.5) * inverse);
        reals_[p - first] = std::max(1 - away, 0.0);
        total += reals_[p - first];
      }
      firsts_[i] = first, counts_[i] = last - first;
      std::int32_t* const to = weights_ + static_cast<std::size_t>(i) * most_;
      for (int k = 0; k < last - first; ++k)
        to[k] = static_cast<std::int32_t>(reals_[k] / total * (1 << kBits) + 0.5);
    }
  }

  static double scratch(int source, int target) {
    const double taps = most(source, target);
    return 2 * scratch_bytes<std::int32_t>(target) + scratch_bytes<std::int32_t>(target * taps) +
           scratch_bytes<double>(taps);
  }

  // `count` bytes of pixel i, those of neighbouring pixels being `step` bytes apart.
  void blend(int i, const std::uint8_t* from, std::size_t step, std::size_t count,
             std::uint8_t* to) const {
    const std::int32_t* const weights = weights_ + static_cast<std::size_t>(i) * most_;
    from += firsts_[i] * step;
    for (std::size_t c = 0; c < count; ++c) {
      std::int32_t total = 1 << (kBits - 1);
      for (int k = 0; k < counts_[i]; ++k) total += weights[k] * from[k * step + c];
      to[c] = static_cast<std::uint8_t>(std::min(total >> kBits, 255));
    }
  }

 private:
  static constexpr int kBits = 22;

  static int most(int source, int target) {
    return 2 * static_cast<int>(std::ceil(std::max(static_cast<double>(source) / target, 1.0))) + 1;
  }

  int most_;  // pixels of a new one
  std::int32_t *firsts_, *counts_, *weights_;
  double* reals_;
};

}  // namespace lbw
