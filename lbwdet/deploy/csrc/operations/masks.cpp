// Class Masks: which parts of its box each candidate covers.
#include <algorithm>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

class Masks : public Operation {
 public:
  explicit Masks(const Fields& fields)
      : Operation({fields.value("scores", Kind::floats), fields.value("candidates", Kind::floats)},
                  fields.value("output", Kind::floats)) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape& scores = sizes[inputs[0]];
    if (scores.n != candidates(sizes, inputs[1]) || scores.c < 1)
      throw Error("scores of " + scores.text() + " are not one map for each candidate");
    return {scores.n, scores.h, scores.w, 1};
  }

  double scratch(const Sizes& sizes) const override {
    return scratch_bytes<double>(kBlock) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    return sizes[output].size() * kExponential;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& scores = frame.floats(inputs[0]);
    const auto rows = candidates(frame, inputs[1]);
    expect(scores.n == rows.count, "scores and candidates differ in number");
    const conv::FloatMap& out = frame.begin_floats(output, scores.n);
    const std::int64_t pixels = static_cast<std::int64_t>(scores.h) * scores.w;
    const auto scratch = frame.scratch.parts(scratch_bytes<double>(kBlock), frame.pool.threads());
    frame.pool.parallel(scores.n, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      auto* const values = scratch.of(thread).take<double>(kBlock);
      for (std::int64_t i = begin; i < end; ++i) {
        const float label = rows.data[i].label;
        const bool is_class = label >= 0 && label < static_cast<float>(scores.c);
        const float* const from =
            scores.data + i * scores.image_stride + (is_class ? static_cast<int>(label) : 0);
        float* const to = out.data + i * out.image_stride;
        for (std::int64_t first = 0; first < pixels; first += kBlock) {
          const std::int64_t count = std::min<std::int64_t>(kBlock, pixels - first);
          for (std::int64_t k = 0; k < count; ++k) values[k] = from[(first + k) * scores.c];
          sigmoid(values, count, frame.loops);
          for (std::int64_t k = 0; k < count; ++k) to[first + k] = static_cast<float>(values[k]);
        }
      }
    });
  }

 private:
  static constexpr int kBlock = 256;
};

const Registered<Masks> registered("Masks");

}  // namespace
}  // namespace lbw
