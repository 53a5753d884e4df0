// Class Reassemble: a larger map of means with weights that every pixel has of its own.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class Reassemble : public Operation {
 public:
  explicit Reassemble(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("logits", Kind::floats)},
                  fields.value("output", Kind::bytes)),
        kernel_(fields.integer("kernel")),
        factor_(fields.integer("factor")),
        groups_(fields.integer("groups")),
        ratio_(fields.real("ratio")) {
    expect(kernel_ > 0 && kernel_ % 2 == 1 && factor_ > 0 && groups_ > 0, "no such kernels");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &logits = sizes[inputs[1]];
    const std::int64_t count = groups_ * kernel_ * kernel_ * factor_ * factor_;
    if (logits != Shape{in.n, in.h, in.w, count} || in.c % groups_ != 0)
      throw Error("logits of " + logits.text() + " for a map of " + in.text());
    return {in.n, in.h * factor_, in.w * factor_, in.c};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(static_cast<double>(sizes[inputs[0]].c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];  // a power is some fifty operations
    return 1.0 * kernel_ * kernel_ * factor_ * factor_ *
           (in.size() + 50.0 * groups_ * in.size() / in.c);
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::FloatMap& logits = frame.floats(inputs[1]);
    expect(logits.n == in.n, "the map and its logits differ in number");
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const auto zero = static_cast<float>(frame.descriptions[inputs[0]].zero_point);
    const auto parts = frame.scratch.parts(of_thread(in.c), frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      double* const powers = part.take<double>(taps());
      float* const weights = part.take<float>(taps());
      float* const sums = part.take<float>(in.c);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, row = index % out.h;
        const std::int64_t y = row / factor_, i = row % factor_;
        const std::uint8_t* const map = in.data + image * in.image_stride;
        const float* const line = logits.data + image * logits.image_stride + y * logits.row_stride;
        std::uint8_t* to = out.data + image * out.image_stride + row * out.row_stride;
        for (std::int64_t column = 0; column < out.w; ++column, to += out.c) {
          const std::int64_t x = column / factor_, j = column % factor_;
          std::fill_n(sums, in.c, 0.0f);
          for (std::int64_t group = 0; group < groups_; ++group) {
            softmax(line + x * logits.c + (group * taps() * factor_ + i) * factor_ + j,
                    frame.loops, powers, weights);
            add(in, map, y, x, group, zero, weights, frame.loops, sums);
          }
          for (std::int64_t c = 0; c < in.c; ++c) sums[c] *= ratio_;
          frame.loops.round(sums, rounding, static_cast<std::size_t>(in.c), to);
        }
      }
    });
  }

 private:
  std::int64_t taps() const { return kernel_ * kernel_; }

  double of_thread(double channels) const {
    const auto count = static_cast<double>(taps());
    return scratch_bytes<double>(count) + scratch_bytes<float>(count) +
           scratch_bytes<float>(channels);
  }

  // Of the logits of one pixel of the output, which lie factor * factor apart.
  void softmax(const float* logits, const Loops& loops, double* powers, float* weights) const {
    const std::int64_t step = factor_ * factor_;
    float largest = logits[0];
    for (std::int64_t k = 1; k < taps(); ++k) largest = std::max(largest, logits[k * step]);
    for (std::int64_t k = 0; k < taps(); ++k)
      powers[k] = std::max(
          static_cast<double>(logits[k * step]) - static_cast<double>(largest), -700.0);
    loops.exponentials(powers, static_cast<std::size_t>(taps()));
    double total = 0;
    for (std::int64_t k = 0; k < taps(); ++k) total += powers[k];
    for (std::int64_t k = 0; k < taps(); ++k) weights[k] = static_cast<float>(powers[k] / total);
  }

  // The taps that lie in the map, a row at a time.
  void add(const conv::Map& in, const std::uint8_t* map, std::int64_t y, std::int64_t x,
           std::int64_t group, float zero, const float* weights, const Loops& loops,
           float* sums) const {
    const std::int64_t half = kernel_ / 2, depth = in.c / groups_, first = group * depth;
    const std::int64_t left = std::max<std::int64_t>(half - x, 0);
    const std::int64_t right = std::min<std::int64_t>(kernel_, in.w - x + half);
    for (std::int64_t ky = 0; ky < kernel_; ++ky) {
      const std::int64_t row = y + ky - half;
      if (row < 0 || row >= in.h) continue;
      loops.add_weighted(map + row * in.row_stride + (x + left - half) * in.c + first, in.c, zero,
                         weights + ky * kernel_ + left, static_cast<std::size_t>(right - left),
                         static_cast<std::size_t>(depth), sums + first);
    }
  }

  std::int64_t kernel_, factor_, groups_;
  float ratio_;  // scale of the input over that of the output
};

const Registered<Reassemble> registered("Reassemble");

}  // namespace
}  // namespace lbw
