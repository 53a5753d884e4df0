#include "max_pool.h"

#include <algorithm>
#include <cstring>

namespace lbw {

Shape MaxPool::shape(const std::vector<Shape>& shapes, Size) const {
  const Shape& in = shapes[inputs[0]];
  const std::int64_t h = in.h + 2 * settings_.padding_h - settings_.kernel_h;
  const std::int64_t w = in.w + 2 * settings_.padding_w - settings_.kernel_w;
  if (h < 0 || w < 0)
    throw Error("a map of " + std::to_string(in.h) + " x " + std::to_string(in.w) +
                " is smaller than the window");
  return {in.n, h / settings_.stride_h + 1, w / settings_.stride_w + 1, in.c};
}

void MaxPool::run(Frame& frame) const {
  const conv::Map& in = frame.values[inputs[0]].bytes;
  const conv::Map& out = frame.begin_bytes(output, in.n);
  const std::size_t channels = in.c;
  std::vector<std::vector<std::uint8_t>> scratch(frame.pool.threads());

  frame.pool.parallel(static_cast<std::int64_t>(out.n) * out.h, 4, [&](std::int64_t begin,
                                                                       std::int64_t end,
                                                                       int thread) {
    // The maximum of the window's rows, then, along that, of its columns.
    auto& line = scratch[thread];
    line.resize(in.w * channels);
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t image = index / out.h, y = index % out.h;
      const int top = static_cast<int>(y) * settings_.stride_h - settings_.padding_h;
      const int first_row = std::max(top, 0), end_row = std::min(top + settings_.kernel_h, in.h);
      const std::uint8_t* const rows = in.data + image * in.image_stride;
      std::memcpy(line.data(), rows + first_row * in.row_stride, line.size());
      for (int row = first_row + 1; row < end_row; ++row)
        frame.loops.maximum(rows + row * in.row_stride, line.size(), line.data());

      std::uint8_t* target = out.data + image * out.image_stride + y * out.row_stride;
      for (int x = 0; x < out.w; ++x, target += channels) {
        const int left = x * settings_.stride_w - settings_.padding_w;
        const int first = std::max(left, 0), end_column = std::min(left + settings_.kernel_w, in.w);
        std::memcpy(target, line.data() + first * channels, channels);
        for (int column = first + 1; column < end_column; ++column)
          frame.loops.maximum(line.data() + column * channels, channels, target);
      }
    }
  });
}

}  // namespace lbw
