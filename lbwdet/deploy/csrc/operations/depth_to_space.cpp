// Class DepthToSpace: every pixel becomes a block of pixels.
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

class DepthToSpace : public Operation {
 public:
  explicit DepthToSpace(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        factor_(fields.integer("factor")) {
    expect(factor_ > 0, "factor must be positive");
    expect(fields.description(output).maximum >= fields.description(inputs[0]).maximum,
           "the input goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    const std::int64_t block = factor_ * factor_;
    if (in.c % block != 0) throw Error("a map of " + in.text() + " makes no blocks of pixels");
    return {in.n, in.h * factor_, in.w * factor_, in.c / block};
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::size_t part = static_cast<std::size_t>(factor_) * out.c;  // of a block: one row
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::uint8_t* from = in.data + image * in.image_stride +
                                   y / factor_ * in.row_stride + y % factor_ * part;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        for (int x = 0; x < in.w; ++x, from += in.c, to += part) std::memcpy(to, from, part);
      }
    });
  }

 private:
  std::int64_t factor_;
};

const Registered<DepthToSpace> registered("DepthToSpace");

}  // namespace
}  // namespace lbw
