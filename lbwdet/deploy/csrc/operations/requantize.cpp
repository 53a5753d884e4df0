#include "requantize.h"

namespace lbw {

Shape Requantize::shape(const std::vector<Shape>& shapes, Size) const { return shapes[inputs[0]]; }

void Requantize::run(Frame& frame) const {
  const conv::Map& in = frame.values[inputs[0]].bytes;
  const conv::Map& out = frame.begin_bytes(output, in.n);
  const std::size_t line = static_cast<std::size_t>(in.w) * in.c;
  frame.pool.parallel(static_cast<std::int64_t>(in.n) * in.h, 4, [&](std::int64_t begin,
                                                                     std::int64_t end, int) {
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t image = index / in.h, y = index % in.h;
      frame.loops.look_up(table_.data(), in.data + image * in.image_stride + y * in.row_stride,
                          line, out.data + image * out.image_stride + y * out.row_stride);
    }
  });
}

}  // namespace lbw
