// Class BucketSides: where each side of a box is, by the best of its buckets.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr int kPlaces[4] = {0, 2, 1, 3};  // of left, right, top and bottom in the output

class BucketSides : public Operation {
 public:
  explicit BucketSides(const Fields& fields)
      : Operation({fields.value("scores", Kind::floats), fields.value("offsets", Kind::floats)},
                  fields.value("output", Kind::floats)),
        buckets_(fields.integer("buckets")),
        half_(static_cast<float>(fields.integer("whole")) * 0.5f) {
    expect(buckets_ > 0, "buckets must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &scores = sizes[inputs[0]], &offsets = sizes[inputs[1]];
    if (scores != offsets || scores.c % (4 * buckets_) != 0)
      throw Error("scores of " + scores.text() + " and offsets of " + offsets.text() + " for " +
                  std::to_string(buckets_) + " buckets");
    return {scores.n, scores.h, scores.w, scores.c / buckets_};
  }

  double work(const Sizes& sizes) const override { return sizes[inputs[0]].size(); }

  void run(Frame& frame) const override {
    const conv::FloatMap &scores = frame.floats(inputs[0]), &offsets = frame.floats(inputs[1]);
    expect(scores.n == offsets.n, "scores and offsets differ in number");
    const conv::FloatMap& out = frame.begin_floats(output, scores.n);
    const std::int64_t rows = static_cast<std::int64_t>(scores.n) * scores.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t image = row / scores.h, y = row % scores.h;
        const float* score = scores.data + image * scores.image_stride + y * scores.row_stride;
        const float* offset =
            offsets.data + image * offsets.image_stride + y * offsets.row_stride;
        float* to = out.data + image * out.image_stride + y * out.row_stride;
        const int sides = out.w * out.c;
        for (int side = 0; side < sides; ++side, score += buckets_, offset += buckets_) {
          const auto best = std::max_element(score, score + buckets_) - score;
          const float middle = static_cast<float>(best) + 0.5f;
          // An offset grows to the right, and downwards.
          const float place = side % 2 ? middle + offset[best] : middle - offset[best];
          to[side / 4 * 4 + kPlaces[side % 4]] = half_ - place;
        }
      }
    });
  }

 private:
  int buckets_;
  float half_;
};

const Registered<BucketSides> registered("BucketSides");

}  // namespace
}  // namespace lbw
