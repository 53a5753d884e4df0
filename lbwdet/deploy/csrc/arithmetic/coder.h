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

  // That are predicted for a box.
  int numbers() const { return parts_.empty() ? 4 * bins_ : 8; }

  // Multiplications and the like of one box, at most: an exponential of each number, and the rest.
  double work() const { return 16.0 * numbers() + 64; }

  // The boxes that deltas[i], numbers() of them, make of boxes[i]. An image of this size clips them.
  // stride: of the level that all of them are from.
  void decode(Box* boxes, const float* const* deltas, std::size_t count, int height, int width,
              const Loops& loops, float stride = 1) const;

 private:
  // Reads the deltas of the coder `name`.
  Coder(const Fields& fields, const std::string& name);
  void read_deltas(const Fields& fields, const std::string& name);

  // One part after the other, each on the boxes of the one before.
  void decode_in_turn(Box* boxes, const float* const* deltas, std::size_t count, int height,
                      int width, const Loops& loops, float stride) const;
  void decode_deltas(Box* boxes, const float* const* deltas, std::size_t count,
                     const Loops& loops, float stride) const;
  void decode_distances(Box* boxes, const float* const* deltas, std::size_t count,
                        const Loops& loops) const;
  // The four distances of each, in the order in which they are predicted.
  void read_distances(const float* const* predicted, std::size_t count, const Loops& loops,
                      float (*distances)[4]) const;

  std::vector<Coder> parts_;  // if there are some, all else is theirs
  bool distances_ = false, clip_ = false;
  float inset_ = 0;  // of the borders that boxes are clipped to; of deltas, what sizes have more
  // Of distances.
  float scale_ = 1;
  int bins_ = 1;
  bool exponential_ = false, of_prior_ = false, vertical_first_ = false;
  // Of deltas.
  std::vector<float> means_, stds_;
  float max_log_ratio_ = 0, max_shift_ = 0;
  bool in_cell_ = false;
};

}  // namespace lbw
