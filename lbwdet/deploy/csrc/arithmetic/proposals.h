// Which pixels propose a box, as runtime/arithmetic/proposals.py has it.
#pragma once

#include <cstdint>

namespace lbw {

// Of one side: whether the middle of its pixel i is inside by more than the margin.
inline bool is_inner(std::int64_t i, std::int64_t side, float margin) {
  const float middle = (static_cast<float>(i) + 0.5f) / static_cast<float>(side);
  return middle > margin && middle < 1.0f - margin;
}

}  // namespace lbw
