// Boxes from what a network predicts for a prior: the classes of runtime/coders.py.
#pragma once

#include "../engine/fields.h"
#include "../vector/loops.h"
#include "boxes.h"

namespace lbw {

class Coder {
 public:
  // Reads "coder" and what belongs to it.
  explicit Coder(const Fields& fields);

  // The boxes that deltas[i], four numbers, make of boxes[i]. An image of this size clips them.
  void decode(Box* boxes, const float* const* deltas, std::size_t count, int height, int width,
              const Loops& loops) const;

 private:
  void decode_deltas(Box* boxes, const float* const* deltas, std::size_t count,
                     const Loops& loops) const;
  void decode_distances(Box* boxes, const float* const* deltas, std::size_t count) const;

  bool distances_, clip_;
  float scale_ = 1;  // of distances
  std::vector<float> means_, stds_;
  float max_log_ratio_ = 0;
};

}  // namespace lbw
