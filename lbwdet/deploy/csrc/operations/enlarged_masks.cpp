// Class EnlargedMasks: probabilities of masks, larger than their logits.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "../arithmetic/spread.h"
#include "operation.h"

namespace lbw {
namespace {

class EnlargedMasks : public Operation {
 public:
  explicit EnlargedMasks(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)),
        factor_(fields.integer("factor")) {
    expect(factor_ > 0, "factor must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c != 1 || in.h < 1 || in.w < 1) throw Error("masks of " + in.text());
    return {in.n, in.h * factor_, in.w * factor_, 1};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(sizes[output].w) * sizes.threads;
  }

  double work(const Sizes& sizes) const override { return sizes[output].size() * 24; }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::FloatMap& out = frame.begin_floats(output, in.n);
    const auto parts = frame.scratch.parts(of_thread(out.w), frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      auto* const values = parts.of(thread).take<double>(out.w);
      for (std::int64_t row = begin; row < end; ++row) {
        const float* const mask = in.data + row / out.h * in.image_stride;
        const Neighbours down = aligned_neighbours(static_cast<int>(row % out.h), in.h, factor_);
        const float* const top = mask + static_cast<std::ptrdiff_t>(down.first) * in.w;
        const float* const bottom = mask + static_cast<std::ptrdiff_t>(down.second) * in.w;
        const auto share = static_cast<float>(down.share);
        for (int x = 0; x < out.w; ++x) {
          const Neighbours across = aligned_neighbours(x, in.w, factor_);
          values[x] = between(top, across) * (1 - share) + between(bottom, across) * share;
        }
        sigmoid(values, out.w, frame.loops);
        float* const to = out.data + row * out.w;
        for (int x = 0; x < out.w; ++x) to[x] = static_cast<float>(values[x]);
      }
    });
  }

 private:
  static double of_thread(std::int64_t width) {
    return scratch_bytes<double>(static_cast<double>(width));
  }

  static float between(const float* row, const Neighbours& pixels) {
    const auto share = static_cast<float>(pixels.share);
    return row[pixels.first] * (1 - share) + row[pixels.second] * share;
  }

  int factor_;
};

const Registered<EnlargedMasks> registered("EnlargedMasks");

}  // namespace
}  // namespace lbw
