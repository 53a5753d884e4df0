// Class MaxPool.
#include <algorithm>
#include <cstring>

#include "pool.h"

namespace lbw {
namespace {

class MaxPool : public Pool {
 public:
  using Pool::Pool;

  double scratch(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return scratch_bytes<std::uint8_t>(1.0 * in.w * in.c) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    const double height = static_cast<double>(std::min<std::int64_t>(kernel_.h, in.h));
    const double width = static_cast<double>(std::min<std::int64_t>(kernel_.w, in.w));
    return sizes[output].size() * width + 1.0 * sizes[output].n * sizes[output].h * in.w * in.c * height;
  }

  bool writes_among() const override { return true; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::size_t channels = in.c, line_bytes = in.w * channels;
    const auto scratch = frame.scratch.parts(
        scratch_bytes<std::uint8_t>(static_cast<double>(line_bytes)), frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(out.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      // The maximum of the window's rows, then, along that, of its columns.
      auto* const line = scratch.of(thread).take<std::uint8_t>(line_bytes);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::int64_t top = y * stride_.h - padding_.h;
        const std::int64_t first_row = std::max<std::int64_t>(top, 0);
        const std::int64_t end_row = std::min<std::int64_t>(top + kernel_.h, in.h);
        const std::uint8_t* const map = in.data + image * in.image_stride;
        std::memcpy(line, map + first_row * in.row_stride, line_bytes);
        for (std::int64_t row = first_row + 1; row < end_row; ++row)
          frame.loops.maximum(map + row * in.row_stride, line_bytes, line);

        std::uint8_t* target = out.data + image * out.image_stride + y * out.row_stride;
        for (int x = 0; x < out.w; ++x, target += out.pixel_stride()) {
          const std::int64_t left = std::int64_t{x} * stride_.w - padding_.w;
          const std::int64_t first = std::max<std::int64_t>(left, 0);
          const std::int64_t end_column = std::min<std::int64_t>(left + kernel_.w, in.w);
          std::memcpy(target, line + first * channels, channels);
          for (std::int64_t column = first + 1; column < end_column; ++column)
            frame.loops.maximum(line + column * channels, channels, target);
        }
      }
    });
  }
};

const Registered<MaxPool> registered("MaxPool");

}  // namespace
}  // namespace lbw
