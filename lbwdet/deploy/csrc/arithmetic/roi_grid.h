#pragma once

#include "../engine/scratch.h"
#include "../vector/loops.h"

namespace lbw {

// Pixels and weights of every bin of a box along one axis, as runtime/arithmetic/roi_axis.py has
// them.
class RoiGrid {
 public:
  // For `size` bins of maps of up to `length` pixels; memory: scratch().
  RoiGrid(int size, int length, Scratch& memory);
  static double scratch(double size, double length);
  // Samples, at most, of one box.
  static double samples(double size, double sampling_ratio);

  // scale: 1 / stride. False if the box counts for nothing.
  bool compute(float low, float high, float scale, int sampling_ratio, int length,
               bool aligned = true);

  RoiAxis view() const { return {first_, count_, weights_, stride_}; }

 private:
  int size_, stride_ = 0;
  int *first_, *count_;
  float* weights_;
};

}  // namespace lbw
