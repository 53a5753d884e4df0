// Class AveragePool.
#include <algorithm>

#include "pool.h"

namespace lbw {
namespace {

class AveragePool : public Pool {
 public:
  explicit AveragePool(const Fields& fields)
      : Pool(fields),
        count_padding_(fields.flag("count_padding")),
        ratio_(fields.real("ratio")) {}

  double scratch(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return thread_scratch(1.0 * in.w * in.c, static_cast<double>(in.c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    const double height = static_cast<double>(std::min<std::int64_t>(kernel_.h, in.h));
    const double width = static_cast<double>(std::min<std::int64_t>(kernel_.w, in.w));
    return sizes[output].size() * (width + 1) +
           1.0 * sizes[output].n * sizes[output].h * in.w * in.c * height;
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const auto zero = static_cast<float>(frame.descriptions[inputs[0]].zero_point);
    const std::size_t channels = in.c, line_size = in.w * channels;
    const auto scratch = frame.scratch.parts(
        thread_scratch(static_cast<double>(line_size), static_cast<double>(channels)),
        frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(out.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      // The sum of the window's rows, then, along that, of its columns: whole numbers below
      // 2**24, which floats add exactly.
      Scratch part = scratch.of(thread);
      float* const line = part.take<float>(line_size);
      float* const sums = part.take<float>(channels);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::int64_t top = y * stride_.h - padding_.h;
        const std::int64_t first_row = std::max<std::int64_t>(top, 0);
        const std::int64_t end_row = std::min<std::int64_t>(top + kernel_.h, in.h);
        const std::uint8_t* const map = in.data + image * in.image_stride;
        frame.loops.scale(map + first_row * in.row_stride, zero, 1, line_size, line);
        for (std::int64_t row = first_row + 1; row < end_row; ++row)
          frame.loops.add_scaled(map + row * in.row_stride, zero, 1, line_size, line);

        std::uint8_t* target = out.data + image * out.image_stride + y * out.row_stride;
        for (int x = 0; x < out.w; ++x, target += channels) {
          const std::int64_t left = std::int64_t{x} * stride_.w - padding_.w;
          const std::int64_t first = std::max<std::int64_t>(left, 0);
          const std::int64_t end_column = std::min<std::int64_t>(left + kernel_.w, in.w);
          std::int64_t count = (end_row - first_row) * (end_column - first);
          if (count_padding_)
            count = (std::min<std::int64_t>(top + kernel_.h, in.h + padding_.h) - top) *
                    (std::min<std::int64_t>(left + kernel_.w, in.w + padding_.w) - left);
          std::fill_n(sums, channels, 0.0f);
          for (std::int64_t column = first; column < end_column; ++column) {
            const float* const pixel = line + column * channels;
            for (std::size_t c = 0; c < channels; ++c) sums[c] += pixel[c];
          }
          const float factor = ratio_ / static_cast<float>(count);
          for (std::size_t c = 0; c < channels; ++c) sums[c] *= factor;
          frame.loops.round(sums, rounding, channels, target);
        }
      }
    });
  }

 private:
  static double thread_scratch(double line_size, double channels) {
    return scratch_bytes<float>(line_size) + scratch_bytes<float>(channels);
  }

  bool count_padding_;
  float ratio_;  // scale of the input over that of the output
};

const Registered<AveragePool> registered("AveragePool");

}  // namespace
}  // namespace lbw
