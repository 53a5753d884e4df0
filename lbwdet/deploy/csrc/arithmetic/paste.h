// Masks of boxes in the pixels of an image, as runtime/arithmetic/paste.py has them.
#pragma once

#include <cstdint>
#include <vector>

#include "../engine/scratch.h"
#include "boxes.h"

namespace lbw {

// A box's mask: probabilities [h, w].
struct BoxMask {
  const float* data;
  int h, w;
};

// Of a pixel on one axis: its two neighbours in a mask, and what each counts.
struct PasteTap {
  int first, second;
  float first_share, second_share;
};

// Bytes that `paste` needs.
double paste_scratch(double mask_height, double height);

// Lengths of the runs of an image's pixels outside and inside of the mask, in turn, column after
// column, the first outside.
std::vector<std::uint32_t> paste(const BoxMask& mask, const Box& box, float threshold, int height,
                                 int width, Scratch scratch);

}  // namespace lbw
