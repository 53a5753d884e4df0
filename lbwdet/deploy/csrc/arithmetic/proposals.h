// Which pixels propose a box, as runtime/arithmetic/proposals.py has it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../conv/conv.h"

namespace lbw {

// Of one side: whether the middle of its pixel i is inside by more than the margin.
inline bool is_inner(std::int64_t i, std::int64_t side, float margin) {
  const float middle = (static_cast<float>(i) + 0.5f) / static_cast<float>(side);
  return middle > margin && middle < 1.0f - margin;
}

// found[i]: whether pixel i of so many is among the numbers of a map of one row.
inline void mark_named(const conv::FloatMap& numbers, std::int64_t count, std::uint8_t* found) {
  std::fill_n(found, count, std::uint8_t{0});
  for (std::int64_t i = 0; i < numbers.w; ++i) {
    const float number = numbers.data[i * numbers.pixel_stride()];
    if (number >= 0 && number < static_cast<float>(count))
      found[static_cast<std::int64_t>(number)] = 1;
  }
}

// The same, or all, if the first is among them.
inline void mark_counted(const conv::FloatMap& numbers, std::int64_t count, std::uint8_t* found) {
  mark_named(numbers, count, found);
  if (count > 0 && found[0]) std::fill_n(found, count, std::uint8_t{1});
}

}  // namespace lbw
