// Weights in the order of a kernel, and what goes with them. Internal.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "weight_store.h"
#include "winograd.h"

namespace lbw::conv {

struct Layout {
  Spec spec;
  const Kernel* kernel;
  int run_count;  // contiguous runs of input bytes in a window
  int quads;      // groups of four bytes in a run
  int width;      // channels of a full block; blocks before the last are full
  int blocks;
  Range range;    // see Row
  std::unique_ptr<WinogradWeights> winograd;  // or null; if not, weights below are not filled
  SharedBytes weight;
  std::vector<int32_t> start;  // these three: in the order of the lanes, padded
  std::vector<float> multiplier, offset;
  std::vector<float> factor;  // the same, of a silu; with Winograd, too
  std::vector<std::vector<uint16_t>> stretches;  // of each block, or none: see Row
  std::vector<const uint16_t*> stretches_of_block;
  std::vector<int> pairs;           // of each block, or none: see Row
  std::vector<int32_t> quad_order;  // [block][quad]: run * quads + quad; with pairs

  // Bytes of weights before a block.
  std::size_t block_begin(int block) const {
    return static_cast<std::size_t>(block) * width * run_count * quads * 4;
  }
};

// Checks the numbers of a layer, whose weight is [o][window]; what finishing its outputs may rely on.
// Throws std::invalid_argument.
Range checked_range(const Spec& spec, std::size_t window, const int8_t* weight,
                    const float* multiplier, const float* offset, const float* factor);

}  // namespace lbw::conv
