// Class RoIAlign.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../arithmetic/boxes.h"
#include "../arithmetic/roi_grid.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs = fields.values("inputs", Kind::bytes);
  inputs.push_back(fields.value("boxes", Kind::floats));
  return inputs;
}

class RoIAlign : public Operation {
 public:
  explicit RoIAlign(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::bytes)),
        boxes_(inputs.back()),
        levels_(inputs.size() - 1),
        scales_(fields.floats("scales", levels_)),
        ratios_(fields.floats("ratios", levels_)),
        size_(fields.integer("size")),
        sampling_ratio_(fields.integer("sampling_ratio")),
        finest_scale_(fields.real("finest_scale")),
        aligned_(fields.flag("aligned")),
        box_scale_(fields.real("box_scale")) {
    expect(levels_ > 0, "it reads no map");
    expect(size_ > 0, "size must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &boxes = sizes[boxes_], &first = sizes[inputs[0]];
    expect(boxes.c == kBoxColumns && boxes.h == 1 && boxes.w == 1, "boxes have four columns");
    for (std::size_t level = 0; level < levels_; ++level) {
      const Shape& map = sizes[inputs[level]];
      if (map.c != first.c || map.n != 1 || map.h < 1 || map.w < 1)
        throw Error("maps of " + first.text() + " and " + map.text());
    }
    return {boxes.n, size_, size_, first.c};
  }

  double scratch(const Sizes& sizes) const override {
    const Longest longest = longest_of(sizes);
    // The loops count lines and weights in 32 bits.
    constexpr double kMost = std::numeric_limits<int>::max();
    expect(longest.h * size_ * kRoiLanes <= kMost && longest.w * size_ <= kMost,
           "size is too large for these maps");
    return of_thread(longest.h, longest.w) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Longest longest = longest_of(sizes);
    // Neighbouring bins share up to three pixels.
    const double lines = longest.h * (longest.w + 3.0 * size_) * sizes[inputs[0]].c;
    const double bins = size_ * (longest.h + 3.0 * size_) * sizes[inputs[0]].c;
    return sizes[boxes_].n * (lines + bins + 2 * RoiGrid::samples(size_, sampling_ratio_));
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& boxes = frame.floats(boxes_);
    const conv::Map& out = frame.begin_bytes(output, boxes.n);
    const Rounding to = frame.rounding(output);
    int height = 0, width = 0;
    for (std::size_t level = 0; level < levels_; ++level) {
      height = std::max(height, frame.bytes(inputs[level]).h);
      width = std::max(width, frame.bytes(inputs[level]).w);
    }
    const auto scratch = frame.scratch.parts(of_thread(height, width), frame.pool.threads());
    frame.pool.parallel(boxes.n, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch memory = scratch.of(thread);
      RoiGrid x(size_, width, memory), y(size_, height, memory);
      float* const lines = memory.take<float>(static_cast<std::size_t>(height) * size_ * kRoiLanes);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::size_t level = level_of(boxes.data + 4 * i);
        float box[4];
        scale(boxes.data + 4 * i, box);
        const conv::Map& map = frame.bytes(inputs[level]);
        std::uint8_t* const target = out.data + i * out.image_stride;
        if (!x.compute(box[0], box[2], scales_[level], sampling_ratio_, map.w, aligned_) ||
            !y.compute(box[1], box[3], scales_[level], sampling_ratio_, map.h, aligned_)) {
          for (int row = 0; row < size_; ++row)
            std::memset(target + row * out.row_stride, std::min(to.zero, to.high),
                        static_cast<std::size_t>(size_) * out.c);
          continue;
        }
        const int zero = frame.descriptions[inputs[level]].zero_point;
        frame.loops.roi_align({map.data, map.row_stride, map.c, map.c, size_, x.view(), y.view(),
                               zero, ratios_[level], to, target, out.row_stride, lines});
      }
    });
  }

 private:
  struct Longest {
    double h = 0, w = 0;
  };
  Longest longest_of(const Sizes& sizes) const {
    Longest longest;
    for (std::size_t level = 0; level < levels_; ++level) {
      longest.h = std::max(longest.h, static_cast<double>(sizes[inputs[level]].h));
      longest.w = std::max(longest.w, static_cast<double>(sizes[inputs[level]].w));
    }
    return longest;
  }

  double of_thread(double height, double width) const {
    return RoiGrid::scratch(size_, width) + RoiGrid::scratch(size_, height) +
           scratch_bytes<float>(height * size_ * kRoiLanes);
  }

  std::size_t level_of(const float* box) const {
    const float s = std::sqrt((box[2] - box[0]) * (box[3] - box[1])) / finest_scale_ + 1e-6f;
    std::size_t level = 0;
    for (float step = 2; level + 1 < levels_ && s >= step; step *= 2) ++level;
    return level;
  }

  // What is read of a box.
  void scale(const float* box, float* scaled) const {
    for (int axis = 0; axis < 2; ++axis) {
      const float first = box[axis], second = box[axis + 2];
      scaled[axis] = first;
      scaled[axis + 2] = second;
      if (box_scale_ == 1) continue;
      const float middle = (first + second) * 0.5f, reach = (second - first) * box_scale_ * 0.5f;
      scaled[axis] = middle - reach;
      scaled[axis + 2] = middle + reach;
    }
  }

  int boxes_;
  std::size_t levels_;
  std::vector<float> scales_, ratios_;  // 1 / stride; scale of the map over that of the output
  int size_, sampling_ratio_;
  float finest_scale_;
  bool aligned_;
  float box_scale_;
};

const Registered<RoIAlign> registered("RoIAlign");

}  // namespace
}  // namespace lbw
