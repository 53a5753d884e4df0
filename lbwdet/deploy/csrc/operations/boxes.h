// Boxes: decoding, ordering and suppression, as operations.py has them.
#pragma once

#include <cstdint>
#include <vector>

#include "../vector/loops.h"

namespace lbw {

struct Box {
  float x1, y1, x2, y2;
};

struct BoxCoder {
  float means[4];
  float stds[4];
  float max_log_ratio;  // f32(abs(log(max_ratio)))

  // The boxes that `deltas` make of `boxes`, inside of an image of this size.
  std::vector<Box> decode(const std::vector<Box>& boxes, const std::vector<const float*>& deltas,
                          float width, float height, const Loops& loops) const;
};

// Score and index in one integer: ascending ranks are descending scores, and of equal scores
// (-0 and 0 are equal) ascending indices.
std::uint64_t rank(float score, std::uint32_t index);
inline std::uint32_t ranked_index(std::uint64_t rank) { return static_cast<std::uint32_t>(rank); }
float ranked_score(std::uint64_t rank);

// Non-maximum suppression: which of the boxes, best first, overlap no kept one by more than
// `threshold`; positions in ascending order, `most` at the most.
std::vector<int> suppress(const std::vector<Box>& boxes, float threshold, std::size_t most,
                          const Loops& loops);

}  // namespace lbw
