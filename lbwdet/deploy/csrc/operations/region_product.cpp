// Class RegionProduct: every region's pixels times a matrix of its own.
#include <algorithm>
#include <numeric>

#include "operation.h"

namespace lbw {
namespace {

class RegionProduct : public Operation {
 public:
  explicit RegionProduct(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("matrices", Kind::bytes)},
                  fields.value("output", Kind::bytes)),
        first_(fields.integer("first")),
        channels_(fields.integer("channels")),
        factor_(fields.real("factor")) {
    expect(first_ >= 0 && channels_ > 0, "no such matrix");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &matrices = sizes[inputs[1]];
    if (matrices != Shape{in.n, 1, 1, matrices.c} || in.c > 1 << 14 ||
        first_ + in.c * channels_ > matrices.c)
      throw Error("matrices of " + matrices.text() + " for maps of " + in.text());
    return {in.n, in.h, in.w, channels_};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(static_cast<double>(sizes[inputs[0]].c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() * static_cast<double>(sizes[inputs[0]].c);
  }

  void run(Frame& frame) const override {
    const conv::Map &in = frame.bytes(inputs[0]), &matrices = frame.bytes(inputs[1]);
    expect(in.n == matrices.n, "there is not a matrix for each map");
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::int32_t zero_in = frame.descriptions[inputs[0]].zero_point;
    const std::int32_t zero = frame.descriptions[inputs[1]].zero_point;
    const Rounding to = frame.rounding(output);
    const std::int64_t depth = in.c;
    const auto parts =
        frame.scratch.parts(of_thread(static_cast<double>(depth)), frame.pool.threads());
    frame.pool.parallel(in.n, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      auto* const columns = part.take<std::uint8_t>(channels_ * depth);
      auto* const pixel = part.take<std::int16_t>(depth);
      auto* const sums = part.take<std::int32_t>(channels_);
      auto* const reals = part.take<float>(channels_);
      for (std::int64_t image = begin; image < end; ++image) {
        frame.pool.check();
        // Column by column, so that each output is one product of vectors.
        const std::uint8_t* const matrix = matrices.data + image * matrices.image_stride + first_;
        for (std::int64_t i = 0; i < depth; ++i)
          for (std::int64_t o = 0; o < channels_; ++o)
            columns[o * depth + i] = matrix[i * channels_ + o];
        for (int y = 0; y < in.h; ++y)
          for (int x = 0; x < in.w; ++x) {
            const std::uint8_t* const from =
                in.data + image * in.image_stride + y * in.row_stride + x * depth;
            for (std::int64_t i = 0; i < depth; ++i)
              pixel[i] = static_cast<std::int16_t>(from[i] - zero_in);
            const std::int32_t total = std::accumulate(pixel, pixel + depth, std::int32_t{0});
            frame.loops.dots(pixel, columns, depth, channels_, depth, sums);
            for (std::int64_t o = 0; o < channels_; ++o)
              reals[o] = static_cast<float>(sums[o] - zero * total) * factor_;
            frame.loops.round(reals, to, channels_,
                              out.data + image * out.image_stride + y * out.row_stride +
                                  x * out.c);
          }
      }
    });
  }

 private:
  double of_thread(double depth) const {
    const auto channels = static_cast<double>(channels_);
    return scratch_bytes<std::uint8_t>(channels * depth) + scratch_bytes<std::int16_t>(depth) +
           scratch_bytes<std::int32_t>(channels) + scratch_bytes<float>(channels);
  }

  std::int64_t first_, channels_;
  float factor_;
};

const Registered<RegionProduct> registered("RegionProduct");

}  // namespace
}  // namespace lbw
