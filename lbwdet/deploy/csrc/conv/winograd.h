// Exact integer Winograd convolution F(4x4, 3x3): a quarter of the multiplications. Internal.
//
// A tile of 4 x 4 outputs Y of a 3 x 3 window over a 6 x 6 input D (one channel):
//   Y = A' [ (G' w G'^T) * (B D B^T) ] A'^T / (f f^T)        (* and / element by element)
// with integer matrices (points 0, 1, -1, 2, -2, infinity, denominators taken out):
//        4  0 -5  0  1  0          1  0  0                                  24
//        0 -4 -4  1  1  0         -1 -1 -1          6 4  4 1  1 0           12
//   B =  0  4 -4 -1  1  0    G' = -1  1 -1    A' =  0 2 -2 1 -1 0      f =   6
//        0 -2 -1  2  1  0          1  2  4          0 1  1 1  1 0            6
//        0  2 -1 -2  1  0          1 -2  4          0 1 -1 2 -2 6
//        0  4  0 -5  0  1          0  0  1
// Inputs are 0..255, so B D B^T lies within -12750..17340; |w| <= 64 gives |G' w G'^T| <= 3136.
// Both fit int16, their products are summed over the channels in int32 modulo 2^32, as
// everything after. The entry of Y is known modulo 2^32 up to f f^T = 9 * 2^k, k = 2..6: times
// the inverse of 9, then shifted right by k, it is exact if Y itself lies in -2^25..2^25 - 1,
// which fits() proves from the weights.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.h"

namespace lbw::conv {

struct ChannelSums;  // see pack.h

struct WinogradWeights {
  int width;   // channels of a block: two vectors
  int blocks;
  int pairs;   // of input channels
  std::size_t block_size;  // int16 numbers of a block
  const int16_t* begin;    // aligned: [block][36][pair][width][2]
  std::vector<int32_t> start;
  std::vector<float> multiplier, offset;  // these three: in the order of the lanes, padded
};

// Whether this convolution can be done this way, exactly, and gains by it.
bool winograd_fits(const Spec& spec, const std::vector<ChannelSums>& sums,
                   const WinogradKernel& kernel);

std::size_t winograd_weight_bytes(const Spec& spec, const WinogradKernel& kernel);

// Writes the weights to `target`, of winograd_weight_bytes.
WinogradWeights winograd_pack(const Spec& spec, const Weight& weight,
                              const std::vector<ChannelSums>& sums,
                              const ChannelNumbers& numbers, const WinogradKernel& kernel,
                              int16_t* target, const Parallel& parallel);

// Tiles of one unit of work, so that their transformed inputs stay in the second-level cache.
int winograd_tiles_per_unit(const WinogradWeights& weights);

// Memory of one thread for outputs of this size, and what lies where in it for units of `tiles`.
std::size_t winograd_scratch_bytes(const WinogradWeights& weights, std::int64_t height,
                                   std::int64_t width);
WinogradScratch winograd_scratch(const WinogradWeights& weights, int tiles, void* memory);

}  // namespace lbw::conv
