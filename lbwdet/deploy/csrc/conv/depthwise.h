// Depthwise convolutions: every channel has a kernel of its own, and there are no sums over
// channels. Lanes are channels; sums are exact, as whole numbers in float32 or as integers.
#pragma once

#include <cstdint>
#include <vector>

#include "../vector/loops.h"
#include "kernel.h"

namespace lbw::conv {

class Depthwise {
 public:
  // Whether a layer is one, and all of its sums stay below 2**24, so that they are exact.
  static bool fits(const Spec& spec, const Weight& weight);

  Depthwise(const Spec& spec, const Weight& weight, const ChannelNumbers& numbers, const Isa& isa);

  // Rows begin .. end-1 of all images' outputs. One of `bytes` and `floats` is the output;
  // `residual` may be null. Any rows on any thread, in any order.
  void run(const Map& in, const Map* bytes, const FloatMap* floats, const Map* residual,
           const Rounding& to, std::int64_t begin, std::int64_t end) const;

 private:
  void pack_integers(const int8_t* weight);
  void find_lines(const int8_t* weight, std::size_t step);
  void run_integers(const Map& in, const Map& out, std::int64_t begin, std::int64_t end) const;
  std::vector<std::ptrdiff_t> taps_of(const Map& in) const;
  const std::uint8_t* window(const Map& in, std::int64_t image, std::int64_t y) const;

  Spec spec_;
  const Isa& isa_;
  std::vector<float> multiplier_, offset_, factor_;  // [channel], in the order of a kernel
  std::vector<float> ratio_;                         // [channel] of a residual
  std::vector<float> weight_, start_;  // [tap][channel], [channel]; or these:
  std::vector<std::int8_t> integers_;  // see DepthwiseRow, as of these:
  std::vector<std::uint8_t> last_lines_;
  std::vector<std::int32_t> sums_;     // what they start with
  Range range_ = Range::any;
};

}  // namespace lbw::conv
