// Class BucketConfidence: how sure the sides of a box are of their buckets.
#include <algorithm>
#include <cstdlib>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr int kMaxBuckets = 256;

class BucketConfidence : public Operation {
 public:
  explicit BucketConfidence(const Fields& fields)
      : Operation({fields.value("scores", Kind::floats)}, fields.value("output", Kind::floats)),
        buckets_(fields.integer("buckets")) {
    expect(buckets_ >= 2 && buckets_ <= kMaxBuckets, "buckets must be 2 to 256");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& scores = sizes[inputs[0]];
    if (scores.c % (4 * buckets_) != 0)
      throw Error("scores of " + scores.text() + " for " + std::to_string(buckets_) + " buckets");
    return {scores.n, scores.h, scores.w, scores.c / (4 * buckets_)};
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    return sizes[inputs[0]].size() * kExponential;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& scores = frame.floats(inputs[0]);
    const conv::FloatMap& out = frame.begin_floats(output, scores.n);
    const std::int64_t rows = static_cast<std::int64_t>(scores.n) * scores.h;
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t image = row / scores.h, y = row % scores.h;
        const float* from = scores.data + image * scores.image_stride + y * scores.row_stride;
        float* const to = out.data + image * out.image_stride + y * out.row_stride;
        for (int anchor = 0; anchor < out.w * out.c; ++anchor) {
          float total = 0;
          for (int side = 0; side < 4; ++side, from += buckets_) total += sure(from, frame.loops);
          to[anchor] = total * 0.25f;
        }
      }
    });
  }

 private:
  float sure(const float* scores, const Loops& loops) const {
    double terms[kMaxBuckets];
    float shares[kMaxBuckets];
    softmax(scores, buckets_, loops, terms, shares);
    const int best = static_cast<int>(std::max_element(scores, scores + buckets_) - scores);
    int second = best == 0 ? 1 : 0;
    for (int i = second + 1; i < buckets_; ++i)
      if (i != best && scores[i] > scores[second]) second = i;
    return std::abs(best - second) == 1 ? shares[best] + shares[second] : shares[best];
  }

  int buckets_;
};

const Registered<BucketConfidence> registered("BucketConfidence");

}  // namespace
}  // namespace lbw
