// What a kernel of one instruction set is told, and what it tells about itself. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conv.h"

namespace lbw::conv {

// One row of output pixels, one block of output channels. The window of an output pixel is
// `run_count` contiguous runs of `quads` groups of four bytes each; weights lie in the order
// [run][quad][lane of the block][4], so that four bytes of input, broadcast, meet them.
struct Row {
  const uint8_t* x;           // first column's window
  std::ptrdiff_t x_column;    // from a column's window to the next
  const std::ptrdiff_t* runs;
  int run_count, quads;
  int columns;

  const int8_t* weight;
  const int32_t* start;       // accumulators begin with the zero point's correction
  const float* multiplier;
  const float* offset;
  int channels;               // of the block; at most its width, which all arrays above have
  int flush;                  // quads whose products surely fit int16 (used by avx2)

  float low, high;            // limits of the output less its zero point
  int zero;
  bool ceil;
  uint8_t* y;                 // one of these two is null
  float* y_float;
  std::ptrdiff_t y_column;
  const uint8_t* r;           // or null
  const std::ptrdiff_t* r_columns;
  int zero_residual;
  float ratio;
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
  Row row;                 // start, multiplier, offset, limits, y of the first pixel and channel
  std::ptrdiff_t y_row;
  const uint8_t* r;        // residual of the first pixel and channel, or null
  const std::ptrdiff_t* r_rows;
  WinogradScratch scratch;
};

struct WinogradKernel {
  int lanes;
  void (*run)(const Winograd& job);
};

struct Kernel {
  Isa isa;
  int lanes;    // output channels of one vector
  int vectors;  // vectors of a full block
  int flip;     // 0x80 if inputs are taken as q - 128 (signed by signed), else 0
  void (*row)(const Row& row);
  const WinogradKernel* winograd;  // or null
};

const Kernel& portable_kernel();
#if defined(__x86_64__)
const Kernel& avx2_kernel();
const Kernel& avx_vnni_kernel();
const Kernel& avx512_vnni_kernel();
#endif
#if defined(__aarch64__)
const Kernel& neon_dotprod_kernel();
#endif

const Kernel& kernel_of(Isa isa);  // throws std::invalid_argument if not supported

}  // namespace lbw::conv
