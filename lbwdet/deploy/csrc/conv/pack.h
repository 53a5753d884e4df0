// Weights in the order of a kernel, and what goes with them. Internal.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "weight_store.h"
#include "winograd.h"

namespace lbw::conv {

// Weights of an output channel.
inline std::size_t window_of(const Spec& spec) {
  return static_cast<std::size_t>(spec.in_channels / spec.groups) * spec.kernel_h * spec.kernel_w;
}

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
  std::vector<float> factor, ratio;  // the same, if there are some; with Winograd, too
  std::vector<std::vector<uint16_t>> stretches;  // of each block, or none: see Row
  std::vector<const uint16_t*> stretches_of_block;
  std::vector<int> pairs;           // of each block, or none: see Row
  std::vector<int32_t> quad_order;  // [block][quad]: run * quads + quad; with pairs

  // Bytes of weights before a block.
  std::size_t block_begin(std::int64_t block) const {
    return static_cast<std::size_t>(block) * width * run_count * quads * 4;
  }
};

// Of the weights of an output channel: sums of the positive ones and, without their sign, of the
// negative ones, and the largest magnitude.
struct ChannelSums {
  std::int64_t up, down;
  int largest;
};

std::vector<ChannelSums> channel_sums(const Spec& spec, const Weight& weight,
                                      const Parallel& parallel = one_by_one);

// Checks the numbers of a layer; what finishing its outputs may rely on. Throws
// std::invalid_argument.
Range checked_range(const Spec& spec, const std::vector<ChannelSums>& sums,
                    const ChannelNumbers& numbers);

}  // namespace lbw::conv
