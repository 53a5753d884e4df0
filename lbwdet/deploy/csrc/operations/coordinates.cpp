// Class Coordinates: where a pixel is, from -1 to 1.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class Coordinates : public Operation {
 public:
  explicit Coordinates(const Fields& fields)
      : Operation({fields.value("like", Kind::map)}, fields.value("output", Kind::bytes)),
        ratio_(fields.real("ratio")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape& like = sizes[inputs[0]];
    return {like.n, like.h, like.w, 2};
  }

  double scratch(const Sizes& sizes) const override {
    const auto w = static_cast<double>(sizes[output].w), h = static_cast<double>(sizes[output].h);
    return scratch_bytes<float>(std::max(w, h)) + scratch_bytes<std::uint8_t>(w) +
           scratch_bytes<std::uint8_t>(h);
  }

  void run(Frame& frame) const override {
    const bool real = frame.descriptions[inputs[0]].is_float;
    const int count = real ? frame.floats(inputs[0]).n : frame.bytes(inputs[0]).n;
    const conv::Map& out = frame.begin_bytes(output, count);
    float* const reals = frame.scratch.take<float>(std::max(out.w, out.h));
    auto* const across = frame.scratch.take<std::uint8_t>(out.w);
    auto* const down = frame.scratch.take<std::uint8_t>(out.h);
    side(frame, out.w, reals, across);
    side(frame, out.h, reals, down);
    for (std::int64_t n = 0; n < count; ++n)
      for (std::int64_t y = 0; y < out.h; ++y) {
        std::uint8_t* to = out.data + n * out.image_stride + y * out.row_stride;
        for (std::int64_t x = 0; x < out.w; ++x, to += 2) to[0] = across[x], to[1] = down[y];
      }
  }

 private:
  void side(const Frame& frame, int size, float* reals, std::uint8_t* bytes) const {
    for (int p = 0; p < size; ++p)
      reals[p] = static_cast<float>(p * 2.0 / std::max(size - 1, 1) - 1) * ratio_;
    frame.loops.round(reals, frame.rounding(output), size, bytes);
  }

  float ratio_;
};

const Registered<Coordinates> registered("Coordinates");

}  // namespace
}  // namespace lbw
