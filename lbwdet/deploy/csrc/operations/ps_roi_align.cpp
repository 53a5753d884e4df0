#include "ps_roi_align.h"

#include <algorithm>

#include "roi_grid.h"

namespace lbw {
namespace {

struct Scratch {
  RoiGrid x, y;
  std::vector<float> line, cell;  // of one cell, by output
};

// Adds the cells of one box to `votes`, one after the other.
void vote(const conv::FloatMap& map, int size, int outputs, Scratch& scratch, float* votes) {
  const int cells = size * size;
  const RoiAxis x = scratch.x.view(), y = scratch.y.view();
  float* const line = scratch.line.data();
  float* const cell = scratch.cell.data();
  for (int by = 0; by < size; ++by) {
    for (int bx = 0; bx < size; ++bx) {
      const float* row = map.data + y.first[by] * map.row_stride +
                         static_cast<std::ptrdiff_t>(x.first[bx]) * map.c + by * size + bx;
      std::fill_n(cell, outputs, 0.0f);
      for (int i = 0; i < y.count[by]; ++i, row += map.row_stride) {
        std::fill_n(line, outputs, 0.0f);
        const float* pixel = row;
        for (int j = 0; j < x.count[bx]; ++j, pixel += map.c) {
          const float weight = x.weights[bx * x.stride + j];
          for (int d = 0; d < outputs; ++d) line[d] += weight * pixel[d * cells];
        }
        const float weight = y.weights[by * y.stride + i];
        for (int d = 0; d < outputs; ++d) cell[d] += weight * line[d];
      }
      for (int d = 0; d < outputs; ++d) votes[d] += cell[d];
    }
  }
}

}  // namespace

PSRoIAlign::PSRoIAlign(const Settings& settings, int output)
    : Operation({settings.map, settings.boxes}, output), settings_(settings) {}

Shape PSRoIAlign::shape(const std::vector<Shape>& shapes, Size) const {
  const Shape& map = shapes[settings_.map];
  const std::int64_t cells = static_cast<std::int64_t>(settings_.size) * settings_.size;
  if (map.n != 1 || map.c % cells != 0)
    throw Error(std::to_string(map.c) + " channels of " + std::to_string(map.n) + " maps for " +
                std::to_string(cells) + " cells");
  return {shapes[settings_.boxes].n, 1, 1, map.c / cells};
}

void PSRoIAlign::run(Frame& frame) const {
  const conv::FloatMap& map = frame.values[settings_.map].floats;
  const conv::FloatMap& boxes = frame.values[settings_.boxes].floats;
  const conv::FloatMap& out = frame.begin_floats(output, boxes.n);
  const int size = settings_.size, ratio = settings_.sampling_ratio, outputs = out.c;
  const float share = static_cast<float>(1.0 / (static_cast<double>(size) * size));
  std::vector<Scratch> scratches(frame.pool.threads());

  frame.pool.parallel(boxes.n, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
    Scratch& scratch = scratches[thread];
    scratch.line.resize(outputs);
    scratch.cell.resize(outputs);
    for (std::int64_t i = begin; i < end; ++i) {
      const float* const box = boxes.data + 4 * i;
      float* const votes = out.data + i * out.image_stride;
      std::fill_n(votes, outputs, 0.0f);
      if (!scratch.x.compute(box[0], box[2], settings_.scale, size, ratio, map.w) ||
          !scratch.y.compute(box[1], box[3], settings_.scale, size, ratio, map.h))
        continue;
      vote(map, size, outputs, scratch, votes);
      for (int d = 0; d < outputs; ++d) votes[d] *= share;
    }
  });
}

}  // namespace lbw
