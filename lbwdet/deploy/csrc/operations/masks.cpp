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
                  fields.value("output", Kind::map)),
        factor_(fields.real("factor")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape& scores = sizes[inputs[0]];
    if (scores.n != candidates(sizes, inputs[1]) || scores.c < 1)
      throw Error("scores of " + scores.text() + " are not one map for each candidate");
    return {scores.n, scores.h, scores.w, 1};
  }

  double scratch(const Sizes& sizes) const override {
    return (scratch_bytes<double>(kBlock) + scratch_bytes<float>(kBlock)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    return sizes[output].size() * kExponential;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& scores = frame.floats(inputs[0]);
    const auto rows = candidates(frame, inputs[1]);
    expect(scores.n == rows.count, "scores and candidates differ in number");
    const bool to_float = frame.descriptions[output].is_float;
    if (to_float)
      frame.begin_floats(output, scores.n);
    else
      frame.begin_bytes(output, scores.n);
    const auto scratch = frame.scratch.parts(
        scratch_bytes<double>(kBlock) + scratch_bytes<float>(kBlock), frame.pool.threads());
    frame.pool.parallel(scores.n, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch room = scratch.of(thread);
      auto* const values = room.take<double>(kBlock);
      auto* const reals = room.take<float>(kBlock);
      for (std::int64_t i = begin; i < end; ++i) {
        const float label = rows.data[i].label;
        const bool is_class = label >= 0 && label < static_cast<float>(scores.c);
        const float* const from =
            scores.data + i * scores.image_stride + (is_class ? static_cast<int>(label) : 0);
        for (int y = 0; y < scores.h; ++y)
          for (int first = 0; first < scores.w; first += kBlock) {
            const int count = std::min(kBlock, scores.w - first);
            const float* const row = from + y * scores.row_stride + first * scores.c;
            for (int k = 0; k < count; ++k) values[k] = row[k * scores.c];
            sigmoid(values, count, frame.loops);
            for (int k = 0; k < count; ++k) reals[k] = static_cast<float>(values[k]) * factor_;
            store(frame, to_float, i, y, first, count, reals);
          }
      }
    });
  }

 private:
  static constexpr int kBlock = 256;

  void store(const Frame& frame, bool to_float, std::int64_t image, int y, int first, int count,
             const float* reals) const {
    if (to_float) {
      const conv::FloatMap& out = frame.floats(output);
      std::copy_n(reals, count, out.data + image * out.image_stride + y * out.row_stride + first);
      return;
    }
    const conv::Map& out = frame.bytes(output);
    frame.loops.round(reals, frame.rounding(output), count,
                      out.data + image * out.image_stride + y * out.row_stride + first);
  }

  float factor_;  // to steps of the output; 1 of reals
};

const Registered<Masks> registered("Masks");

}  // namespace
}  // namespace lbw
