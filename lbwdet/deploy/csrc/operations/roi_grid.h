#pragma once

#include <vector>

#include "../vector/loops.h"

namespace lbw {

// Pixels and weights of every bin of a box along one axis, as class RoIAlign has them.
class RoiGrid {
 public:
  // scale: 1 / stride. False if the box has no extent.
  bool compute(float low, float high, float scale, int size, int sampling_ratio, int length);

  RoiAxis view() const { return {first_.data(), count_.data(), weights_.data(), stride_}; }

 private:
  int stride_ = 0;
  std::vector<int> first_, count_;
  std::vector<float> weights_;
};

}  // namespace lbw
