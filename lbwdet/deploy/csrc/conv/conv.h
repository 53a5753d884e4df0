// Exact u8 x s8 convolutions: the class Conv of runtime/operations, to the last bit.
//
//   Spec, integer weights, multiplier, offset --Packed--> kernel order (once per layer)
//   Packed, maps of one image size --Plan--> units of work (once per image size)
//   Plan::run(begin, end) on any threads, in any order: the result is the same.
//
// Compile with -ffp-contract=off: a product and a sum are rounded separately.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "../isa/isa.h"

namespace lbw::conv {

// A uint8 feature map, NHWC, channels dense. `data` is pixel (0, 0) of image 0. Around every
// image lie `border` pixels on each of the four sides that hold the zero point: a convolution
// reads them where its window leaves the map, and never writes them.
// `kSlack` bytes after the last pixel (border included) must be readable; their content is
// irrelevant. Aligning `data` to 64 bytes, and rows too where c allows, is faster; not required.
constexpr int kSlack = 64;
struct Map {
  uint8_t* data;
  int n, h, w, c;
  std::ptrdiff_t row_stride;    // bytes; at least (w + 2 * border) * c
  std::ptrdiff_t image_stride;  // bytes
  int border;
  int pixel = 0;                // bytes between pixels, of some channels among others; 0: c

  std::ptrdiff_t pixel_stride() const { return pixel ? pixel : c; }
  bool operator==(const Map& m) const {
    return data == m.data && n == m.n && h == m.h && w == m.w && c == m.c && border == m.border &&
           row_stride == m.row_stride && image_stride == m.image_stride && pixel == m.pixel;
  }
};

// A float32 map, NHWC, without border; strides in floats.
struct FloatMap {
  float* data;
  int n, h, w, c;
  std::ptrdiff_t row_stride, image_stride;
  int pixel = 0;  // floats between pixels; 0: c

  std::ptrdiff_t pixel_stride() const { return pixel ? pixel : c; }
  bool operator==(const FloatMap& m) const {
    return data == m.data && n == m.n && h == m.h && w == m.w && c == m.c &&
           row_stride == m.row_stride && image_stride == m.image_stride && pixel == m.pixel;
  }
};

struct Spec {
  int in_channels, out_channels;
  int kernel_h, kernel_w;
  int stride_h = 1, stride_w = 1;
  int padding_h = 0, padding_w = 0;
  int dilation_h = 1, dilation_w = 1;
  int groups = 1;          // of channels, see class Conv; a Packed has one
  bool among = false;      // maps hold other channels beside those that are read and written
  bool relu = false;
  bool silu = false;       // after multiplier and offset; then a factor per channel, and a residual
  int zero_in = 0;         // zero point of the input
  int maximum_in = 255;    // largest q of the input
  bool to_float = false;   // the fields below describe a uint8 output
  int zero_out = 0;        // zero point,
  int maximum_out = 255;   // largest q,
  bool ceil = false;       // and rounding of the output
  bool residual = false;
  bool upsample = false;   // the residual may have another size than the output
  int zero_residual = 0;
};

// What goes with the output channels, float32 [o].
struct ChannelNumbers {
  const float* multiplier;
  const float* offset;
  const float* factor = nullptr;  // of a silu: positive
  const float* ratio = nullptr;   // of a residual: its step over that of the output
};

// Throws std::invalid_argument if a field makes no sense.
void check(const Spec& spec);

// Of a spec that was checked; below 1 if the window is larger than the map.
std::int64_t output_height(const Spec& spec, std::int64_t height);
std::int64_t output_width(const Spec& spec, std::int64_t width);
// The border that the layer needs of an input of this size.
std::int64_t needed_border(const Spec& spec, std::int64_t height, std::int64_t width);

struct Row;         // see kernel.h
struct Layout;      // how the kernel wants its weights, see pack.cpp
class WeightStore;  // see weight_store.h

// Integers by output channel, [o][i][kh][kw]: given, or as codes and tables of what they stand for.
struct Weight {
  Weight(const int8_t* integers) : codes(integers) {}
  Weight(const int8_t* codes, const int8_t* tables, const int32_t* table_of)
      : codes(codes), tables(tables), table_of(table_of) {}

  // The `window` integers of channel o: where they are, or in `buffer`.
  const int8_t* channel(std::int64_t o, std::size_t window, int8_t* buffer) const;
  // From channel o on.
  Weight from(std::int64_t o, std::size_t window) const {
    return {codes + o * window, tables, tables ? table_of + o : nullptr};
  }

  const int8_t* codes;
  const int8_t* tables = nullptr;  // [table][code, as an unsigned byte], or null
  const int32_t* table_of = nullptr;
};

// Calls work(i) for each i of 0 .. count - 1, in any order and on any threads.
using Parallel =
    std::function<void(std::int64_t count, const std::function<void(std::int64_t)>& work)>;
void one_by_one(std::int64_t count, const std::function<void(std::int64_t)>& work);

class Packed {
 public:
  // weight: |w| <= 64; numbers: finite.
  // Throws std::invalid_argument if the CPU lacks `isa`, if a field of `spec` makes no sense, or
  // if an accumulator could overflow int32 for some input.
  // `winograd` allows the Winograd form where it is exact and faster (see winograd.h).
  // With a `store`, layers of the same packed weight share it. The packed bytes do not depend on
  // `parallel`.
  Packed(const Spec& spec, const Weight& weight, const ChannelNumbers& numbers, const Isa& isa,
         bool winograd = true, WeightStore* store = nullptr,
         const Parallel& parallel = one_by_one);
  ~Packed();
  Packed(Packed&&) noexcept;
  Packed& operator=(Packed&&) noexcept;

  const Spec& spec() const;
  bool winograd() const;
  const int8_t* weight() const;  // in kernel order
  std::size_t bytes() const;
  // Memory that each thread needs to run plans on outputs of this size or less.
  std::size_t scratch_bytes(std::int64_t height, std::int64_t width) const;
  const Layout& layout() const { return *layout_; }

 private:
  std::unique_ptr<Layout> layout_;
};

// Of a residual's pixels, that a plan keeps beside those of its rows and columns.
constexpr int kMostOffsets = 1000;

// A layer on maps of given sizes and addresses. Cheap to make; refers to `packed`, which must
// outlive it. Throws std::invalid_argument if sizes do not fit, or a border is too small.
class Plan {
 public:
  Plan(const Packed& packed, const Map& in, const Map& out, const Map* residual, int threads);
  Plan(const Packed& packed, const Map& in, const FloatMap& out, int threads);

  // Pieces of work of like size, at least a few for each of `threads`.
  std::int64_t units() const {
    return static_cast<std::int64_t>(images_) * row_groups_ * column_groups_ * block_groups_;
  }
  // Executes units begin..end-1. Units write disjoint parts of the output. `scratch`: the calling
  // thread's own memory, Packed::scratch_bytes, aligned to 64 bytes.
  void run(std::int64_t begin, std::int64_t end, void* scratch) const;

  std::int64_t multiplications() const;

 private:
  Row row_of_layer() const;
  void init_winograd(const Map& in, int threads);
  void run_winograd(std::int64_t begin, std::int64_t end, void* scratch) const;
  void init(const Map& in, int out_n, int out_h, int out_w, int out_c, bool joins_rows,
            int threads);

  const Layout* layout_;
  const uint8_t* x_;                          // input of output pixel (0, 0)
  std::ptrdiff_t x_image_, x_row_, x_column_;  // bytes between neighbouring output pixels
  std::vector<std::ptrdiff_t> runs_;          // offsets of the contiguous runs of one window
  std::vector<int32_t> quad_offsets_;         // see Row
  uint8_t* y_ = nullptr;
  float* y_float_ = nullptr;
  std::ptrdiff_t y_image_, y_row_, y_column_;  // in elements
  const uint8_t* r_ = nullptr;
  std::ptrdiff_t r_image_ = 0;
  std::vector<std::ptrdiff_t> r_rows_, r_columns_;  // residual of output row, column: offsets
  int images_, height_, width_;
  int rows_per_unit_, columns_per_unit_, blocks_per_unit_, blocks_per_row_;
  int row_groups_, column_groups_, block_groups_;  // Winograd: columns are tiles, in one row
};

}  // namespace lbw::conv
