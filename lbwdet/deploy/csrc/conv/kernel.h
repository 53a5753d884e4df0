// What a kernel of one instruction set is told, and what it tells about itself. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conv.h"

namespace lbw::conv {

// What finishing a tile may rely on, so that common layers skip what they do not need.
enum class Range {
  bytes,  // rounding to nearest, zero point 0, limits 0 and 255, real outputs far below 2**31
  words,  // rounding to nearest, real outputs far below 2**31; what goes into silu, within 87
  limits, // the same, but for what goes into silu
  any,
};

// One row of output pixels, some blocks of output channels. The window of an output pixel is
// `run_count` contiguous runs of `quads` groups of four bytes each; weights lie in the order
// [block][run][quad][lane of the block][4], so that four bytes of input, broadcast, meet them.
//
// Channels of a uint8 output are dealt to the lanes as narrowing instructions put them
// together again: of a pair of vectors, the first gets channels 0-3, 8-11, ..., the second
// 4-7, 12-15, ... Float outputs have them in order, and so has a last vector without a partner, if
// the kernel finishes such.
struct Row {
  const uint8_t* x;           // first column's window
  std::ptrdiff_t x_column;    // from a column's window to the next
  const std::ptrdiff_t* runs;
  int run_count, quads;
  int columns;
  std::ptrdiff_t ahead;       // input bytes of one more column, per quad of a run; to prefetch

  const int8_t* weight;
  const int32_t* start;       // accumulators begin with the zero point's correction
  const float* multiplier;    // these three: in the order of the lanes
  const float* offset;
  int channels;               // of all blocks together; arrays are padded to full vectors
  // Of each block, or null: lengths of the stretches of quads whose sums surely fit int16.
  const uint16_t* const* stretches;
  // Or null: of each block, how many pairs of quads have sums that surely fit int16. Weights then
  // lie pair by pair, and the other quads after them; `quad_offsets` says where inputs lie.
  const int* pairs;
  const int32_t* quad_offsets;  // [block][quad of any run]

  Range range;
  bool ceil;
  int low, high, zero;        // limits and zero point of a uint8 output
  float low_float;            // limit of a float output
  uint8_t* y;                 // one of these two is null
  float* y_float;
  std::ptrdiff_t y_column;
  const uint8_t* r;           // or null
  const std::ptrdiff_t* r_columns;
  int zero_residual;
  const float* ratio;         // these two: in the order of the lanes. What a residual is multiplied by,
  const float* factor;        // or null; and silu, or null
};

// Transformed inputs and products of the tiles of one unit, see winograd.h.
struct WinogradScratch {
  int16_t* v;              // [36][tile][channel], and from one product, tile to the next:
  std::ptrdiff_t v_step, v_tile;
  int32_t* m;              // [36][tile][channel of the block]
  std::ptrdiff_t m_step;
};

// Some tiles of 4 x 4 output pixels of one image, some blocks of output channels.
struct Winograd {
  const uint8_t* x;        // pixel (0, 0); around the map lies a border of at least one
  std::ptrdiff_t x_row;
  int height, width, in_channels, pairs;
  int tiles_x, first_tile, tiles;
  const int16_t* weight;
  std::size_t block_size;
  int blocks, channels;    // output channels that these blocks hold
  Row row;                 // of the map's first pixel, and of the first channel
  std::ptrdiff_t y_row;
  const std::ptrdiff_t* r_rows;  // of the residual; null without
  WinogradScratch scratch;
};

// One row of outputs of a depthwise convolution, in integers. Vectors of sums come in fours: 32
// slots, which are two halves of 16 channels each; vector i holds channels 4 * i .. 4 * i + 3 of
// either. The halves are neighbours if 32 divides the channels, else the same channels for two
// columns. Arrays of channels, and the weights, lie in this order.
constexpr int kDepthwiseHalf = 16;
constexpr int kDepthwisePairs = 5;
struct DepthwiseRow {
  const uint8_t* x;            // first column's window; 16 bytes may be read where fewer are left
  const std::ptrdiff_t* taps;  // of the window's pixels: offsets, four for each quad
  std::ptrdiff_t x_column;     // from a column's window to the next
  bool nine;                   // the window is 3 x 3
  // Of such, or null: of each block a row or a column (3 and on) whose sums surely fit int16. Pixels
  // then go in pairs, line by line, and that one is the last.
  const uint8_t* last_lines;
  int quads, columns, channels;
  // [32 slots][quad][slot][4]; in pairs [32 slots][pair][channels 0-7, 8-15 of the halves][half]
  // [channel][2].
  const int8_t* weight;
  const int32_t* start;        // these four: [slot]
  const float *multiplier, *offset, *factor;  // factor: null without silu
  Range range;
  bool ceil;
  int low, high, zero;
  uint8_t* y;
  std::ptrdiff_t y_column;
};

struct WinogradKernel {
  int lanes;
  void (*run)(const Winograd& job);
};

// The lane of a channel of a uint8 output, as Row says.
int position_of(int channel, int lanes);

struct Kernel {
  int lanes;    // output channels of one vector
  int vectors;  // vectors of a full block
  bool narrow;  // whether it can sum in int16: uses stretches, or pairs
  bool single;  // whether a last vector of a uint8 output may be without a partner
  int flip;     // 0x80 if inputs are taken as q - 128 (signed by signed), else 0
  void (*row)(const Row& row);
  const WinogradKernel* winograd;  // these two: or null
  void (*depthwise)(const DepthwiseRow& row);
};

}  // namespace lbw::conv
