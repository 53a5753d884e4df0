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
    if (scores != offsets || scores.n != 1 || scores.c % (4 * buckets_) != 0)
      throw Error("scores of " + scores.text() + " and offsets of " + offsets.text() + " for " +
                  std::to_string(buckets_) + " buckets");
    return {1, scores.h, scores.w, scores.c / buckets_};
  }

  double work(const Sizes& sizes) const override { return sizes[inputs[0]].size(); }

  void run(Frame& frame) const override {
    const conv::FloatMap &scores = frame.floats(inputs[0]), &offsets = frame.floats(inputs[1]);
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    frame.pool.parallel(scores.h, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t y = begin; y < end; ++y) {
        const float* score = scores.data + y * scores.row_stride;
        const float* offset = offsets.data + y * offsets.row_stride;
        float* to = out.data + y * out.row_stride;
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
