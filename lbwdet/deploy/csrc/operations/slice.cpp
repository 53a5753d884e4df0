// Class Slice: some rows, columns and channels of a map.
#include "copy_pixels.h"
#include "operation.h"

namespace lbw {
namespace {

class Slice : public Operation {
 public:
  explicit Slice(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        start_(fields.pair("start")),
        step_(fields.pair("step")) {
    const Pair channels = fields.pair("channels");
    first_ = channels.h, count_ = channels.w;
    expect(start_.h >= 0 && start_.w >= 0 && step_.h > 0 && step_.w > 0, "start or step");
    expect(first_ >= 0 && count_ >= 0, "channels");
    expect(fields.description(output).maximum >= fields.description(inputs[0]).maximum,
           "the input goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    const std::int64_t count = count_ > 0 ? count_ : in.c - first_;
    if (in.h <= start_.h || in.w <= start_.w || count <= 0 || first_ + count > in.c)
      throw Error("a map of " + in.text() + " has not so many rows, columns or channels");
    return {in.n, (in.h - start_.h - 1) / step_.h + 1, (in.w - start_.w - 1) / step_.w + 1, count};
  }

  bool reads_among(int) const override { return true; }
  bool writes_among() const override { return true; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    const std::ptrdiff_t column = step_.w * in.pixel_stride();
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::uint8_t* from = in.data + image * in.image_stride +
                                   (start_.h + y * step_.h) * in.row_stride +
                                   start_.w * in.pixel_stride() + first_;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        copy_pixels(from, to, {column, out.pixel_stride()}, out.c, out.w);
      }
    });
  }

 private:
  Pair start_, step_;
  std::int64_t first_, count_;
};

const Registered<Slice> registered("Slice");

}  // namespace
}  // namespace lbw
