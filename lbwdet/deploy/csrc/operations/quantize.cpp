// Class Quantize: a float32 map in integers.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr std::int64_t kChunk = 256;  // numbers that are rounded at once

class Quantize : public Operation {
 public:
  explicit Quantize(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::bytes)),
        inverse_(fields.floats("inverse")) {
    expect(!inverse_.empty(), "inverse is empty");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    const auto steps = static_cast<std::int64_t>(inverse_.size());
    if (steps != 1 && steps != in.c)
      throw Error(std::to_string(steps) + " steps for a map of " + in.text());
    return in;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    const auto steps = static_cast<std::int64_t>(inverse_.size());
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      float reals[kChunk];
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const float* const from = in.data + image * in.image_stride + y * in.row_stride;
        std::uint8_t* const to = out.data + image * out.image_stride + y * out.row_stride;
        const std::int64_t numbers = static_cast<std::int64_t>(out.w) * out.c;
        for (std::int64_t at = 0, count = 0; at < numbers; at += count) {
          count = std::min(kChunk, numbers - at);
          for (std::int64_t i = 0; i < count; ++i)
            reals[i] = from[at + i] * inverse_[steps == 1 ? 0 : (at + i) % steps];
          frame.loops.round(reals, rounding, static_cast<std::size_t>(count), to + at);
        }
      }
    });
  }

 private:
  std::vector<float> inverse_;  // of the output's step, or of each channel's
};

const Registered<Quantize> registered("Quantize");

}  // namespace
}  // namespace lbw
