// Class Multiply: a map times a gate.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr std::size_t kChunk = 1024;  // numbers that are real for a while

class Multiply : public Operation {
 public:
  explicit Multiply(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("gate", Kind::bytes)},
                  fields.value("output", Kind::bytes)),
        ratio_(fields.real("ratio")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &gate = sizes[inputs[1]];
    const bool pixels = (gate.h == in.h && gate.w == in.w) || (gate.h == 1 && gate.w == 1);
    if (gate.n != in.n || !pixels || (gate.c != in.c && gate.c != 1))
      throw Error("a gate of " + gate.text() + " for a map of " + in.text());
    return in;
  }

  double work(const Sizes& sizes) const override { return sizes[output].size() * 2; }

  void run(Frame& frame) const override {
    const conv::Map &in = frame.bytes(inputs[0]), &gate = frame.bytes(inputs[1]);
    expect(gate.n == in.n, "the map and its gate differ in number");
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const float zero = zero_of(frame, inputs[0]), gate_zero = zero_of(frame, inputs[1]);
    const std::ptrdiff_t channels = in.c, gate_channels = gate.c;
    const bool one_pixel = gate.h == 1 && gate.w == 1;
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      float factors[kChunk], reals[kChunk];
      const float nothing[kChunk] = {};
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        const std::uint8_t* from = in.data + image * in.image_stride + y * in.row_stride;
        const std::uint8_t* by = gate.data + image * gate.image_stride;
        if (!one_pixel) by += y * gate.row_stride;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        for (int x = 0; x < in.w; ++x, from += channels, to += channels) {
          const std::uint8_t* const pixel = one_pixel ? by : by + x * gate_channels;
          for (std::ptrdiff_t c = 0; c < channels; c += kChunk) {
            const std::size_t count = std::min<std::size_t>(kChunk, channels - c);
            if (gate_channels == 1) {
              const float factor = (static_cast<float>(*pixel) - gate_zero) * ratio_;
              frame.loops.scale(from + c, zero, factor, count, reals);
            } else {
              if (!one_pixel || x == 0 || channels > std::ptrdiff_t{kChunk})
                frame.loops.scale(pixel + c, gate_zero, ratio_, count, factors);
              frame.loops.affine(from + c, zero, factors, nothing, count, reals);
            }
            frame.loops.round(reals, rounding, count, to + c);
          }
        }
      }
    });
  }

 private:
  static float zero_of(const Frame& frame, int value) {
    return static_cast<float>(frame.descriptions[value].zero_point);
  }

  float ratio_;  // scales of both over that of the output
};

const Registered<Multiply> registered("Multiply");

}  // namespace
}  // namespace lbw
