// Class Upsample: nearest neighbours.
#include "copy_pixels.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs{fields.value("input", Kind::bytes)};
  if (fields.has("like")) inputs.push_back(fields.value("like", Kind::map));
  return inputs;
}

class Upsample : public Operation {
 public:
  explicit Upsample(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::bytes)),
        factor_(fields.pair("factor")) {
    expect(factor_.h > 0 && factor_.w > 0, "factor must be positive");
    expect(fields.description(output).maximum >= fields.description(inputs[0]).maximum,
           "the input goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    Shape out{in.n, in.h * factor_.h, in.w * factor_.w, in.c};
    if (inputs.size() > 1) out.h = sizes[inputs[1]].h, out.w = sizes[inputs[1]].w;
    if (in.h < 1 || in.w < 1) throw Error("a map of " + in.text() + " has no pixel");
    return out;
  }

  bool reads_among(int) const override { return true; }
  bool writes_among() const override { return true; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::ptrdiff_t pixel = out.pixel_stride();
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      std::int64_t last = -1;  // the row of the input that the one before repeated
      const std::uint8_t* repeated = nullptr;
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::int64_t row = image * in.h + y * in.h / out.h;
        std::uint8_t* const to = out.data + image * out.image_stride + y * out.row_stride;
        if (row == last) {
          copy_pixels(repeated, to, {pixel, pixel}, in.c, out.w);
          continue;
        }
        const std::uint8_t* const from =
            in.data + image * in.image_stride + row % in.h * in.row_stride;
        for (std::int64_t x = 0; x < out.w; ++x)
          copy_pixels(from + x * in.w / out.w * in.pixel_stride(), to + x * pixel, {}, in.c, 1);
        last = row, repeated = to;
      }
    });
  }

 private:
  Pair factor_;
};

const Registered<Upsample> registered("Upsample");

}  // namespace
}  // namespace lbw
