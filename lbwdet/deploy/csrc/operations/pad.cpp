// Class Pad: pixels around a map.
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

class Pad : public Operation {
 public:
  explicit Pad(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        before_(fields.pair("before")),
        after_(fields.pair("after")),
        fill_(fields.integer("fill")) {
    expect(before_.h >= 0 && before_.w >= 0 && after_.h >= 0 && after_.w >= 0,
           "it adds fewer than no pixels");
    const int maximum = fields.description(output).maximum;
    expect(fill_ >= 0 && fill_ <= maximum && fields.description(inputs[0]).maximum <= maximum,
           "a number is above the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return {in.n, in.h + before_.h + after_.h, in.w + before_.w + after_.w, in.c};
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::size_t channels = in.c, line = out.w * channels, inner = in.w * channels;
    const std::size_t left = before_.w * channels;
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        std::uint8_t* const to = out.data + image * out.image_stride + y * out.row_stride;
        const std::int64_t row = y - before_.h;
        if (row < 0 || row >= in.h) {
          std::memset(to, fill_, line);
          continue;
        }
        std::memset(to, fill_, left);
        std::memcpy(to + left, in.data + image * in.image_stride + row * in.row_stride, inner);
        std::memset(to + left + inner, fill_, line - left - inner);
      }
    });
  }

 private:
  Pair before_, after_;
  int fill_;
};

const Registered<Pad> registered("Pad");

}  // namespace
}  // namespace lbw
