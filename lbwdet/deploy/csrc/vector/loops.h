// The inner loops besides convolution that gain from wide vectors, once per instruction set.
//
// loops.inl is compiled for each, by the files in ../isa. Every version gives the same bytes:
// the order of float operations is per channel, and lanes are channels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lbw {

// Where the pixels of a resized row come from: offsets of two pixels of three channels, `first` of
// the larger weight. `shares`, of each channel: the other one's weight, of 2048, times -32.
struct ResizeColumns {
  const std::int32_t *first, *second;
  const std::int16_t* shares;
  std::size_t count;
};

struct BoxColumns {
  const float *x1, *y1, *x2, *y2, *area;
};

// One axis of RoIAlign: bin b reads count[b] pixels from first[b] on, with the weights
// weights[b * stride ...]. A bin that reads none has some first pixel within the map.
struct RoiAxis {
  const int* first;
  const int* count;
  const float* weights;
  int stride;
};

// From a real number t, in units of a value's scale, to its integer:
// clamp(round(t) + zero, low, high), where round is to the nearest, or up. Of no number: low.
struct Rounding {
  int zero, low, high;
  bool ceil;
};

// One box of RoIAlign.
struct RoiTask {
  const std::uint8_t* map;  // pixel (0, 0)
  std::ptrdiff_t row_stride, pixel_stride;
  int channels, size;
  RoiAxis x, y;
  int zero_in;  // zero point of the map
  float ratio;  // scale of the map over that of the output
  Rounding to;
  std::uint8_t* out;  // [size, size, channels]
  std::ptrdiff_t out_row_stride;
  float* lines;       // scratch, aligned to 64 bytes: rows of the box * size * kRoiLanes floats
};

constexpr int kRoiLanes = 64;

// One row of the output of a depthwise convolution: every channel has a kernel of its own.
struct DepthwiseTask {
  const std::uint8_t* x;       // the window of the first column begins here
  const std::ptrdiff_t* taps;  // of the window's pixels: offsets
  int tap_count;
  std::ptrdiff_t x_column;     // from a column's window to the next
  int columns, channels;
  const float* weight;         // [tap][channel], whole numbers
  const float* start;          // [channel]: the zero point's share; all sums are below 2**24
  const float *multiplier, *offset;  // [channel]
  const float* factor;         // [channel] after silu, or null
  const std::uint8_t* r;       // the residual's row, or null
  const std::ptrdiff_t* r_columns;
  float zero_residual;
  const float* ratio;          // [channel] of the residual
  Rounding to;                 // of a uint8 output
  std::uint8_t* y;             // one of these two is null
  float* y_float;
  std::ptrdiff_t y_column;
  float low_float;             // limit of a float output
};

// The sum of some maps: `channels` numbers of each of `pixels`, which are steps of bytes apart.
struct AddTask {
  const std::uint8_t* const* in;
  const std::ptrdiff_t* in_steps;
  const float *zeros, *ratios;  // of each map
  int inputs;
  Rounding to;
  std::size_t channels;
  std::ptrdiff_t pixels, out_step;
  std::uint8_t* out;
};

struct Loops {
  // values[i] = exp(values[i]) by the float64 sequence of the box coders: the same on every
  // machine, unlike the C library's. For values up to 700; 0 or next to it below -708.
  void (*exponentials)(double* values, std::size_t count);
  // A bound of the first `objects` numbers of softmax(logits), `count` of them: above the largest,
  // by less than 1e-3 of it. Much faster than exponentials; its lowest bits differ by machine.
  float (*largest_share)(const float* logits, std::size_t objects, std::size_t count);
  // Resizing, first along the width: per column, three sums of two weighted pixels, >> 4. The row
  // has `bytes` bytes.
  void (*resize_row)(const std::uint8_t* pixels, std::size_t bytes, const ResizeColumns& columns,
                     std::int16_t* out);
  // Then along the height: out[i] = ((a[i] * (2048 - weight) >> 16) + (b[i] * weight >> 16) + 2) >> 2
  void (*blend)(const std::int16_t* a, const std::int16_t* b, int weight, std::size_t count,
                std::uint8_t* out);
  // out[i] = max(out[i], in[i])
  void (*maximum)(const std::uint8_t* in, std::size_t count, std::uint8_t* out);
  // out[i] = table[in[i]], of 256 entries
  void (*look_up)(const std::uint8_t* table, const std::uint8_t* in, std::size_t count,
                  std::uint8_t* out);
  // dropped[j] |= overlap(box i, box j) > threshold, for i < j < count
  void (*mark_overlaps)(const BoxColumns& boxes, std::size_t i, std::size_t count, float threshold,
                        std::int32_t* dropped);
  void (*roi_align)(const RoiTask& task);
  // out[i] = (in[i] - zero) * factor
  void (*scale)(const std::uint8_t* in, float zero, float factor, std::size_t count, float* out);
  // out[i] = out[i] + (in[i] - zero) * factor
  void (*add_scaled)(const std::uint8_t* in, float zero, float factor, std::size_t count,
                     float* out);
  // out = the integers of the sum of (in[k] - zeros[k]) * ratios[k], in the order of the maps
  void (*add)(const AddTask& task);
  // out[i] = the integer of (in[i] - zero) * multiplier[i] + offset[i]
  void (*affine_bytes)(const std::uint8_t* in, float zero, const float* multiplier,
                       const float* offset, const Rounding& to, std::size_t count,
                       std::uint8_t* out);
  // out[i] = (in[i] - zero) * multiplier[i] + offset[i]
  void (*affine)(const std::uint8_t* in, float zero, const float* multiplier, const float* offset,
                 std::size_t count, float* out);
  // out[i] = the integer of the sum of (in[k][i] - zero) * factors[k], for k = 0 .. 3 in order
  void (*weighted_four)(const std::uint8_t* const* in, const float* factors, float zero,
                        const Rounding& to, std::size_t count, std::uint8_t* out);
  void (*depthwise)(const DepthwiseTask& task);
  void (*round)(const float* in, const Rounding& to, std::size_t count, std::uint8_t* out);
  // out[j] = the sum of query[i] * keys[j * step + i], for i < count; all sums fit 32 bits
  void (*dots)(const std::int16_t* query, const std::uint8_t* keys, std::ptrdiff_t step,
               std::size_t rows, std::size_t count, std::int32_t* out);
  // out[i] = out[i] + (in[j * step + i] - zero) * weights[j], for j < rows in order
  void (*add_weighted)(const std::uint8_t* in, std::ptrdiff_t step, float zero,
                       const float* weights, std::size_t rows, std::size_t count, float* out);
};

}  // namespace lbw
