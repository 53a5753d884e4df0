// Class PSRoIAlign.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "../arithmetic/roi_grid.h"
#include "operation.h"

namespace lbw {
namespace {

class PSRoIAlign : public Operation {
 public:
  explicit PSRoIAlign(const Fields& fields)
      : Operation({fields.value("input", Kind::floats), fields.value("boxes", Kind::floats)},
                  fields.value("output", Kind::floats)),
        size_(fields.integer("size")),
        sampling_ratio_(fields.integer("sampling_ratio")),
        scale_(fields.real("scale")) {
    expect(size_ > 0, "size must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &map = sizes[inputs[0]], &boxes = sizes[inputs[1]];
    expect(boxes.c == kBoxColumns && boxes.h == 1 && boxes.w == 1, "boxes have four columns");
    const std::int64_t cells = static_cast<std::int64_t>(size_) * size_;
    if (map.n != 1 || map.h < 1 || map.w < 1 || map.c < 1 || map.c % cells != 0)
      throw Error("a map of " + map.text() + " for " + std::to_string(cells) + " cells");
    return {boxes.n, 1, 1, map.c / cells};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& map = sizes[inputs[0]];
    return of_thread(static_cast<double>(map.h), static_cast<double>(map.w),
                     static_cast<double>(sizes[output].c)) *
           sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape& map = sizes[inputs[0]];
    const double pixels = (map.h + 3.0 * size_) * (map.w + 3.0 * size_ + 1);
    return sizes[inputs[1]].n *
           (pixels * sizes[output].c + 2 * RoiGrid::samples(size_, sampling_ratio_));
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &map = frame.floats(inputs[0]), &boxes = frame.floats(inputs[1]);
    const conv::FloatMap& out = frame.begin_floats(output, boxes.n);
    const float share = static_cast<float>(1.0 / (static_cast<double>(size_) * size_));
    const auto scratch = frame.scratch.parts(of_thread(map.h, map.w, out.c), frame.pool.threads());
    frame.pool.parallel(boxes.n, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch memory = scratch.of(thread);
      RoiGrid x(size_, map.w, memory), y(size_, map.h, memory);
      float* const line = memory.take<float>(out.c);
      float* const cell = memory.take<float>(out.c);
      for (std::int64_t i = begin; i < end; ++i) {
        const float* const box = boxes.data + 4 * i;
        float* const votes = out.data + i * out.image_stride;
        std::fill_n(votes, out.c, 0.0f);
        if (!x.compute(box[0], box[2], scale_, sampling_ratio_, map.w) ||
            !y.compute(box[1], box[3], scale_, sampling_ratio_, map.h))
          continue;
        vote(map, x.view(), y.view(), out.c, line, cell, votes);
        for (int d = 0; d < out.c; ++d) votes[d] *= share;
      }
    });
  }

 private:
  double of_thread(double height, double width, double outputs) const {
    return RoiGrid::scratch(size_, width) + RoiGrid::scratch(size_, height) +
           2 * scratch_bytes<float>(outputs);
  }

  // Adds the cells of one box to `votes`, one after the other. `line` and `cell`: by output.
  void vote(const conv::FloatMap& map, const RoiAxis& x, const RoiAxis& y, int outputs, float* line,
            float* cell, float* votes) const {
    const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(size_) * size_;
    for (int by = 0; by < size_; ++by) {
      for (int bx = 0; bx < size_; ++bx) {
        const float* row = map.data + y.first[by] * map.row_stride +
                           static_cast<std::ptrdiff_t>(x.first[bx]) * map.c + by * size_ + bx;
        std::fill_n(cell, outputs, 0.0f);
        for (int i = 0; i < y.count[by]; ++i, row += map.row_stride) {
          std::fill_n(line, outputs, 0.0f);
          const float* pixel = row;
          for (int j = 0; j < x.count[bx]; ++j, pixel += map.c) {
            const float weight = x.weights[static_cast<std::ptrdiff_t>(bx) * x.stride + j];
            for (int d = 0; d < outputs; ++d) line[d] += weight * pixel[d * cells];
          }
          const float weight = y.weights[static_cast<std::ptrdiff_t>(by) * y.stride + i];
          for (int d = 0; d < outputs; ++d) cell[d] += weight * line[d];
        }
        for (int d = 0; d < outputs; ++d) votes[d] += cell[d];
      }
    }
  }

  int size_, sampling_ratio_;
  float scale_;  // 1 / stride
};

const Registered<PSRoIAlign> registered("PSRoIAlign");

}  // namespace
}  // namespace lbw
