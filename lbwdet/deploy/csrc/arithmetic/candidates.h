// Values of candidates, as operations read them.
#pragma once

#include <algorithm>

#include "../operations/operation.h"
#include "boxes.h"

namespace lbw {

// Of the anchor or the pixel that a candidate was made of; 0 of what is no number, or below.
inline std::int64_t number_of(const Candidate& candidate) {
  const float number = candidate.level;
  if (!(number > 0)) return 0;
  return static_cast<std::int64_t>(std::min(number, static_cast<float>(kMostNumbers)));
}

struct Candidates {
  const Candidate* data;
  int count;
};

// How many there can be in a value. Throws Error if it holds something else.
inline std::int64_t candidates(const Sizes& sizes, int value) {
  const Shape& shape = sizes[value];
  if (shape.c != kCandidateColumns || shape.h != 1 || shape.w != 1)
    throw Error("a value of " + shape.text() + " holds no candidates");
  return shape.n;
}

inline Candidates candidates(const Frame& frame, int value) {
  const conv::FloatMap& map = frame.floats(value);
  return {reinterpret_cast<const Candidate*>(map.data), map.n};
}

}  // namespace lbw
