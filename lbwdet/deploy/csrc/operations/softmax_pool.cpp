// Class SoftmaxPool: a mean of pixels with the weights of a softmax.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class SoftmaxPool : public Operation {
 public:
  explicit SoftmaxPool(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("logits", Kind::floats)},
                  fields.value("output", Kind::bytes)),
        ratio_(fields.real("ratio")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &logits = sizes[inputs[1]];
    if (logits != Shape{in.n, in.h, in.w, 1} || in.h < 1 || in.w < 1)
      throw Error("logits of " + logits.text() + " for a map of " + in.text());
    return {in.n, 1, 1, in.c};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return of_thread(1.0 * in.h * in.w, static_cast<double>(in.c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return in.size() + 50.0 * in.n * in.h * in.w;  // a power is some fifty operations
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::FloatMap& logits = frame.floats(inputs[1]);
    expect(logits.n == in.n, "the map and its logits differ in number");
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const auto zero = static_cast<float>(frame.descriptions[inputs[0]].zero_point);
    const std::size_t pixels = static_cast<std::size_t>(in.h) * in.w, channels = in.c;
    const auto parts = frame.scratch.parts(
        of_thread(static_cast<double>(pixels), static_cast<double>(channels)),
        frame.pool.threads());
    frame.pool.parallel(in.n, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      double* const powers = part.take<double>(pixels);
      float* const sums = part.take<float>(channels);
      for (std::int64_t image = begin; image < end; ++image) {
        const float* const given = logits.data + image * logits.image_stride;
        const double largest = *std::max_element(given, given + pixels);
        for (std::size_t p = 0; p < pixels; ++p)
          powers[p] = std::max(static_cast<double>(given[p]) - largest, -700.0);
        frame.loops.exponentials(powers, pixels);
        double total = 0;
        for (std::size_t p = 0; p < pixels; ++p) total += powers[p];
        std::fill_n(sums, channels, 0.0f);
        const std::uint8_t* const map = in.data + image * in.image_stride;
        for (std::size_t p = 0; p < pixels; ++p)
          frame.loops.add_scaled(map + p / in.w * in.row_stride + p % in.w * channels, zero,
                                 static_cast<float>(powers[p] / total), channels, sums);
        for (std::size_t c = 0; c < channels; ++c) sums[c] *= ratio_;
        frame.loops.round(sums, rounding, channels, out.data + image * out.image_stride);
      }
    });
  }

 private:
  static double of_thread(double pixels, double channels) {
    return scratch_bytes<double>(pixels) + scratch_bytes<float>(channels);
  }

  float ratio_;  // scale of the input over that of the output
};

const Registered<SoftmaxPool> registered("SoftmaxPool");

}  // namespace
}  // namespace lbw
