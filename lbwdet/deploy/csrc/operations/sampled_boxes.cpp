// Class SampledBoxes: boxes of which each side is read at a place of its own.
#include <algorithm>
#include <cmath>

#include "../arithmetic/coder.h"
#include "operation.h"

namespace lbw {
namespace {

class SampledBoxes : public Operation {
 public:
  explicit SampledBoxes(const Fields& fields)
      : Operation({fields.value("deltas", Kind::floats), fields.value("offsets", Kind::floats)},
                  fields.value("output", Kind::floats)),
        coder_(fields),
        stride_(static_cast<float>(fields.integer("stride"))) {
    const auto prior = fields.floats("prior", 4);
    prior_ = {prior[0], prior[1], prior[2], prior[3]};
    expect(coder_.numbers() == 4, "a coder of other than 4 numbers");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &deltas = sizes[inputs[0]], &offsets = sizes[inputs[1]];
    if (deltas != Shape{1, deltas.h, deltas.w, 4} || offsets != Shape{1, deltas.h, deltas.w, 8})
      throw Error("deltas of " + deltas.text() + " and offsets of " + offsets.text());
    return deltas;
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    return scratch_bytes<Box>(1.0 * out.h * out.w);
  }

  double work(const Sizes& sizes) const override {
    constexpr double kOfPixel = 64 + 4 * 30;  // decoding, and four samples
    const Shape& out = sizes[output];
    return kOfPixel * out.h * out.w;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& offsets = frame.floats(inputs[1]);
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    const std::int64_t height = out.h, width = out.w;
    Box* const boxes = frame.scratch.take<Box>(static_cast<std::size_t>(height * width));
    frame.pool.parallel(height, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t y = begin; y < end; ++y) decode(frame, y, width, boxes + y * width);
    });
    frame.pool.parallel(height, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t y = begin; y < end; ++y)
        for (std::int64_t x = 0; x < width; ++x) {
          const float* const given =
              offsets.data + y * offsets.row_stride + x * offsets.pixel_stride();
          Box box = {sample(boxes, &Box::x1, height, width, y, x, given),
                     sample(boxes, &Box::y1, height, width, y, x, given + 2),
                     sample(boxes, &Box::x2, height, width, y, x, given + 4),
                     sample(boxes, &Box::y2, height, width, y, x, given + 6)};
          if (box.x1 > box.x2 || box.y1 > box.y2) box = boxes[y * width + x];
          const Box prior = moved(y, x);
          const float px = (prior.x1 + prior.x2) * 0.5f, py = (prior.y1 + prior.y2) * 0.5f;
          float* const to = out.data + y * out.row_stride + x * out.pixel_stride();
          to[0] = px - box.x1, to[1] = py - box.y1;
          to[2] = box.x2 - px, to[3] = box.y2 - py;
        }
    });
  }

 private:
  Box moved(std::int64_t y, std::int64_t x) const {
    const float right = static_cast<float>(x) * stride_, down = static_cast<float>(y) * stride_;
    return {right + prior_.x1, down + prior_.y1, right + prior_.x2, down + prior_.y2};
  }

  // A row of boxes.
  void decode(const Frame& frame, std::int64_t y, std::int64_t width, Box* boxes) const {
    const conv::FloatMap& deltas = frame.floats(inputs[0]);
    const float* given[kBlock];
    for (std::int64_t at = 0; at < width; at += kBlock) {
      const std::int64_t some = std::min(kBlock, width - at);
      for (std::int64_t i = 0; i < some; ++i) {
        boxes[at + i] = moved(y, at + i);
        given[i] = deltas.data + y * deltas.row_stride + (at + i) * deltas.pixel_stride();
      }
      coder_.decode(boxes + at, given, static_cast<std::size_t>(some), 0, 0, frame.loops, stride_);
    }
  }

  static float sample(const Box* boxes, float Box::*side, std::int64_t height, std::int64_t width,
                      std::int64_t y, std::int64_t x, const float* offset) {
    const float v = static_cast<float>(y) + offset[0], u = static_cast<float>(x) + offset[1];
    // False of what is no number; only then is there an integer for what is below.
    const bool inside = v > -1 && v < static_cast<float>(height) && u > -1 &&
                        u < static_cast<float>(width);
    const float top = inside ? std::floor(v) : 0, left = inside ? std::floor(u) : 0;
    const float b = inside ? v - top : 0, a = inside ? u - left : 0;
    const auto row = static_cast<std::int64_t>(top), column = static_cast<std::int64_t>(left);
    const float factors[4] = {(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a};
    float total = 0;
    for (int i = 0; i < 4; ++i) {
      const std::int64_t j = row + i / 2, k = column + i % 2;
      const bool there = inside && j >= 0 && j < height && k >= 0 && k < width;
      const float term = there ? boxes[j * width + k].*side * factors[i] : 0.0f;
      total = i == 0 ? term : total + term;
    }
    return total;
  }

  static constexpr std::int64_t kBlock = 64;

  Coder coder_;
  float stride_;
  Box prior_{};
};

const Registered<SampledBoxes> registered("SampledBoxes");

}  // namespace
}  // namespace lbw
