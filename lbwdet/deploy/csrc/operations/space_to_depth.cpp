// Class SpaceToDepth: the channels of a block of pixels, in one pixel.
#include "operation.h"

namespace lbw {
namespace {

class SpaceToDepth : public Operation {
 public:
  explicit SpaceToDepth(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        factor_(fields.integer("factor")) {
    expect(factor_ > 0, "factor must be positive");
    expect(fields.description(output).maximum >= fields.description(inputs[0]).maximum,
           "the input goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return {in.n, in.h / factor_, in.w / factor_, in.c * factor_ * factor_};
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    const std::int64_t block = factor_ * factor_;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        for (std::int64_t x = 0; x < out.w; ++x, to += out.c)
          for (std::int64_t place = 0; place < block; ++place) {
            const std::uint8_t* const from =
                in.data + image * in.image_stride +
                (y * factor_ + place / factor_) * in.row_stride +
                (x * factor_ + place % factor_) * in.c;
            for (std::int64_t c = 0; c < in.c; ++c) to[c * block + place] = from[c];
          }
      }
    });
  }

 private:
  std::int64_t factor_;
};

const Registered<SpaceToDepth> registered("SpaceToDepth");

}  // namespace
}  // namespace lbw
