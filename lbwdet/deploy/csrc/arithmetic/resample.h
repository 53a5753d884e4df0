// Images resized as Pillow does, as runtime/arithmetic/resample.py has it.
#pragma once

#include <cstdint>

#include "../engine/scratch.h"

namespace lbw {

// One axis: of each target index the pixels that count, and their weights.
class Resampling {
 public:
  Resampling(int source, int target, Scratch& memory);
  static double scratch(double source, double target);

  // The pixel of target index `t`, of pixels `step` bytes apart from one another.
  std::uint8_t pixel(int t, const std::uint8_t* pixels, std::int64_t step) const {
    const std::int32_t* const weights = weights_ + static_cast<std::int64_t>(t) * most_;
    pixels += first_[t] * step;
    std::int64_t total = std::int64_t{1} << (kBits - 1);
    for (int i = 0; i < count_[t]; ++i) total += weights[i] * std::int64_t{pixels[i * step]};
    total >>= kBits;
    return static_cast<std::uint8_t>(total < 255 ? total : 255);
  }

 private:
  static constexpr int kBits = 22;
  static std::int64_t most(double source, double target);  // pixels that can count

  std::int64_t most_;
  int *first_, *count_;
  std::int32_t* weights_;  // [target][most]
};

}  // namespace lbw
