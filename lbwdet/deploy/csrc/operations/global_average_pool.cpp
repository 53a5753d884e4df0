// Class GlobalAveragePool: the average of all pixels.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class GlobalAveragePool : public Operation {
 public:
  explicit GlobalAveragePool(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        ratio_(fields.real("ratio")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.h < 1 || in.w < 1) throw Error("a map of " + in.text() + " has no pixel");
    return {in.n, 1, 1, in.c};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return thread_scratch(static_cast<double>(in.c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override { return sizes[inputs[0]].size(); }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const std::int64_t zero = frame.descriptions[inputs[0]].zero_point;
    const std::size_t channels = in.c;
    const std::int64_t count = static_cast<std::int64_t>(in.h) * in.w;
    const float factor = ratio_ / static_cast<float>(count);
    const auto scratch =
        frame.scratch.parts(thread_scratch(static_cast<double>(channels)), frame.pool.threads());
    frame.pool.parallel(in.n, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = scratch.of(thread);
      auto* const sums = part.take<std::int64_t>(channels);
      auto* const some = part.take<std::uint32_t>(channels);
      float* const reals = part.take<float>(channels);
      for (std::int64_t image = begin; image < end; ++image) {
        std::fill_n(sums, channels, 0);
        for (int y = 0; y < in.h; ++y) {
          const std::uint8_t* pixel = in.data + image * in.image_stride + y * in.row_stride;
          for (std::int64_t x = 0; x < in.w; x += kRun) {
            std::fill_n(some, channels, 0);
            const std::int64_t run = std::min<std::int64_t>(kRun, in.w - x);
            for (std::int64_t i = 0; i < run; ++i, pixel += channels)
              for (std::size_t c = 0; c < channels; ++c) some[c] += pixel[c];
            for (std::size_t c = 0; c < channels; ++c) sums[c] += some[c];
          }
        }
        for (std::size_t c = 0; c < channels; ++c)
          reals[c] = static_cast<float>(sums[c] - zero * count) * factor;
        frame.loops.round(reals, rounding, channels, out.data + image * out.image_stride);
      }
    });
  }

 private:
  static constexpr std::int64_t kRun = 1 << 16;  // pixels whose sum fits 32 bits

  static double thread_scratch(double channels) {
    return scratch_bytes<std::int64_t>(channels) + scratch_bytes<std::uint32_t>(channels) +
           scratch_bytes<float>(channels);
  }

  float ratio_;  // scale of the input over that of the output
};

const Registered<GlobalAveragePool> registered("GlobalAveragePool");

}  // namespace
}  // namespace lbw
