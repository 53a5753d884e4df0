// Class AdaptiveMaxPool: the largest number of each pixel's share of the map.
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

// The first pixel of share `index` of `count`, and the first that it has no more.
struct Share {
  Share(std::int64_t index, std::int64_t count, std::int64_t size)
      : first(index * size / count), end(((index + 1) * size + count - 1) / count) {}

  std::int64_t first, end;
};

class AdaptiveMaxPool : public Operation {
 public:
  explicit AdaptiveMaxPool(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("like", Kind::map)},
                  fields.value("output", Kind::bytes)) {
    expect(fields.description(output).maximum >= fields.description(inputs[0]).maximum,
           "the input goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &like = sizes[inputs[1]];
    if (in.h < 1 || in.w < 1) throw Error("a map of " + in.text() + " has no pixel");
    return {in.n, like.h, like.w, in.c};
  }

  double work(const Sizes& sizes) const override {
    // Each share is a pixel larger than the quotient, at most.
    const Shape &in = sizes[inputs[0]], &out = sizes[output];
    return 1.0 * in.n * in.c * (in.h + 2.0 * out.h) * (in.w + 2.0 * out.w);
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const Share down(y, out.h, in.h);
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        for (std::int64_t x = 0; x < out.w; ++x, to += in.c) {
          const Share across(x, out.w, in.w);
          const std::uint8_t* const map = in.data + image * in.image_stride;
          std::memset(to, 0, in.c);
          for (std::int64_t row = down.first; row < down.end; ++row)
            for (std::int64_t column = across.first; column < across.end; ++column)
              frame.loops.maximum(map + row * in.row_stride + column * in.c, in.c, to);
        }
      }
    });
  }
};

const Registered<AdaptiveMaxPool> registered("AdaptiveMaxPool");

}  // namespace
}  // namespace lbw
