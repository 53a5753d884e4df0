// Depthwise convolutions: every channel has a kernel of its own, and there are no sums over
// channels. Lanes are channels; sums are whole numbers that float32 holds.
#pragma once

#include <cstdint>
#include <vector>

#include "../vector/loops.h"
#include "conv.h"

namespace lbw::conv {

class Depthwise {
 public:
  // Whether a layer is one, and all of its sums stay below 2**24, so that they are exact.
  static bool fits(const Spec& spec, const int8_t* weight);

  // weight: int8 [c, 1, kh, kw]; multiplier, offset, and a silu's factor: float32 [c].
  Depthwise(const Spec& spec, const int8_t* weight, const float* multiplier, const float* offset,
            const float* factor);

  // Rows begin .. end-1 of all images' outputs. One of `bytes` and `floats` is the output;
  // `residual` may be null. Any rows on any thread, in any order.
  void run(const Map& in, const Map* bytes, const FloatMap* floats, const Map* residual,
           const Rounding& to, const Loops& loops, std::int64_t begin, std::int64_t end) const;

 private:
  Spec spec_;
  std::vector<float> weight_;                     // [tap][channel]
  std::vector<float> start_, multiplier_, offset_, factor_;  // [channel]
};

}  // namespace lbw::conv
