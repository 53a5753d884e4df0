// Masks of the image in float32, made larger, as runtime/arithmetic/spread.py has them.
#pragma once

#include <cstdint>
#include <vector>

#include "../engine/scratch.h"
#include "boxes.h"

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
  int mask, factor;     // pixels of the mask, and by how much it is made larger at first; 0: as
                        // long as the source
  int source;           // pixels of these that count
  std::int64_t target;  // what they become
  bool aligned;

  Taps taps(std::int64_t pixel) const;
};

// The pixels of a mask: what box is around them, and the mean of the sigmoids of their values.
class Cover {
 public:
  // column: room for the values of one.
  Cover(const Loops& loops, double* column) : loops_(loops), column_(column) {}

  void add(int x, int y, float value);
  void end_column();
  Box box() const;    // zeros around nothing
  float mean() const;  // 0 of nothing

 private:
  const Loops& loops_;
  double* column_;
  std::size_t count_ = 0;  // in the column
  int left_ = 0, top_ = 0, right_ = 0, bottom_ = 0;
  double area_ = 0, steps_ = 0;  // whole numbers; steps: 2**24 for a probability of 1
};

// Bytes that `spread` needs.
double spread_scratch(double mask_height, double height);

// The runs of an image's pixels outside and inside of a mask [rows.mask, columns.mask].
// cover: gets the pixels inside, if it is not null.
std::vector<std::uint32_t> spread(const float* mask, const Enlargement& rows,
                                  const Enlargement& columns, float threshold, int height,
                                  int width, Scratch scratch, Cover* cover);

}  // namespace lbw
