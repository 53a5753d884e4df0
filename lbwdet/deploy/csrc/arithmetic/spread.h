// Masks of the image in float32, made larger, as runtime/arithmetic/spread.py has them.
#pragma once

#include <cstdint>
#include <vector>

#include "../engine/scratch.h"

namespace lbw {

// Two pixels that another one lies between, and the share of the second.
struct Neighbours {
  int first, second;
  double share;
};

// Of the pixels around a place.
Neighbours neighbours(double place, int size);
// Of pixel `index` of a line of `target` pixels, among those of `source`.
Neighbours resized_neighbours(std::int64_t index, int source, std::int64_t target);

// Of pixel `index` of a line that is `factor` times as long, as CondInst has it.
Neighbours aligned_neighbours(int index, int source, int factor);

// Of a pixel: the four of a mask that it is made of, and what each counts.
struct Taps {
  int index[4];
  float share[4];
};

// How one axis of a mask becomes that of an image, in two steps.
struct Enlargement {
  int mask, factor;     // pixels of the mask, and by how much it is made larger at first
  int source;           // pixels of these that count
  std::int64_t target;  // what they become
  bool aligned;

  Taps taps(std::int64_t pixel) const;
};

// Bytes that `spread` needs.
double spread_scratch(double mask_height, double height);

// The runs of an image's pixels outside and inside of a mask [rows.mask, columns.mask].
std::vector<std::uint32_t> spread(const float* mask, const Enlargement& rows,
                                  const Enlargement& columns, float threshold, int height,
                                  int width, Scratch scratch);

}  // namespace lbw
