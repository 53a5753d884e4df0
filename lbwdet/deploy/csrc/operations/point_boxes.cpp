// Class PointBoxes: the box around some points at every pixel.
#include <algorithm>
#include <cmath>

#include "operation.h"

namespace lbw {
namespace {

class PointBoxes : public Operation {
 public:
  explicit PointBoxes(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)),
        points_(fields.integer("points")) {
    expect(points_ > 0, "points must be positive");
    if (fields.has("spread")) spread_ = fields.floats("spread", 2);
    expect(spread_.empty() || points_ > 1, "spread of one point");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    const bool fits = spread_.empty() ? 2 * points_ <= in.c : 2 * points_ == in.c;
    if (in.n != 1 || in.c % 2 != 0 || !fits)
      throw Error("places of " + in.text() + " for " + std::to_string(points_) + " points");
    return {1, in.h, in.w, 4};
  }

  double work(const Sizes& sizes) const override { return 2 * sizes[inputs[0]].size(); }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    frame.pool.parallel(in.h, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t y = begin; y < end; ++y)
        for (std::int64_t x = 0; x < in.w; ++x) {
          const float* const from = in.data + y * in.row_stride + x * in.pixel_stride();
          float* const to = out.data + y * out.row_stride + x * out.pixel_stride();
          for (int axis = 0; axis < 2; ++axis) {
            const Ends ends = spread_.empty() ? outermost(from + 1 - axis)
                                              : spread(from + 1 - axis, spread_[axis]);
            to[axis] = 0.0f - ends.first;
            to[2 + axis] = ends.last + 0.0f;
          }
        }
    });
  }

 private:
  struct Ends {
    float first, last;
  };

  // Of every other number, one for each point.
  Ends outermost(const float* places) const {
    Ends ends{places[0], places[0]};
    for (std::int64_t point = 1; point < points_; ++point) {
      ends.first = std::min(ends.first, places[2 * point]);
      ends.last = std::max(ends.last, places[2 * point]);
    }
    return ends;
  }

  Ends spread(const float* places, float factor) const {
    float total = places[0];
    for (std::int64_t point = 1; point < points_; ++point) total = total + places[2 * point];
    const float mean = total / static_cast<float>(points_);
    float square = (places[0] - mean) * (places[0] - mean);
    for (std::int64_t point = 1; point < points_; ++point) {
      const float away = places[2 * point] - mean;
      square = square + away * away;
    }
    const float half = std::sqrt(square / static_cast<float>(points_ - 1)) * factor;
    return {mean - half, mean + half};
  }

  std::int64_t points_;
  std::vector<float> spread_;  // to the right, down; empty: the outermost points
};

const Registered<PointBoxes> registered("PointBoxes");

}  // namespace
}  // namespace lbw
