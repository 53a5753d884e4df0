#include "roi_align.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "roi_grid.h"

namespace lbw {
namespace {

struct Scratch {
  RoiGrid x, y;
  std::vector<float> lines;
};

float* aligned(std::vector<float>& floats, std::size_t count) {
  constexpr std::size_t kAlignment = 64;
  floats.resize(count + kAlignment / sizeof(float));
  void* begin = floats.data();
  std::size_t space = floats.size() * sizeof(float);
  return static_cast<float*>(std::align(kAlignment, count * sizeof(float), begin, space));
}

std::vector<int> values_of(const RoIAlign::Settings& settings) {
  std::vector<int> values{settings.boxes};
  for (const auto& level : settings.levels) values.push_back(level.map);
  return values;
}

}  // namespace

RoIAlign::RoIAlign(Settings settings, int output)
    : Operation(values_of(settings), output), settings_(std::move(settings)) {}

Shape RoIAlign::shape(const std::vector<Shape>& shapes, Size) const {
  const Shape& boxes = shapes[settings_.boxes];
  const std::int64_t channels = shapes[settings_.levels[0].map].c;
  for (const Level& level : settings_.levels)
    if (shapes[level.map].c != channels || shapes[level.map].n != 1)
      throw Error("maps of " + std::to_string(channels) + " and " +
                  std::to_string(shapes[level.map].c) + " channels");
  return {boxes.n, settings_.size, settings_.size, channels};
}

std::size_t RoIAlign::level_of(const float* box) const {
  const float s =
      std::sqrt((box[2] - box[0]) * (box[3] - box[1])) / settings_.finest_scale + 1e-6f;
  std::size_t level = 0;
  while (level + 1 < settings_.levels.size() && s >= static_cast<float>(2u << level)) ++level;
  return level;
}

void RoIAlign::run(Frame& frame) const {
  const conv::FloatMap& boxes = frame.values[settings_.boxes].floats;
  const conv::Map& out = frame.begin_bytes(output, boxes.n);
  const Value& to = frame.descriptions[output];
  int height = 0;
  for (const Level& level : settings_.levels)
    height = std::max(height, frame.values[level.map].bytes.h);
  std::vector<Scratch> scratches(frame.pool.threads());

  frame.pool.parallel(boxes.n, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
    Scratch& scratch = scratches[thread];
    float* const lines =
        aligned(scratch.lines, static_cast<std::size_t>(height) * settings_.size * kRoiLanes);
    for (std::int64_t i = begin; i < end; ++i) {
      const float* const box = boxes.data + 4 * i;
      const Level& level = settings_.levels[level_of(box)];
      const conv::Map& map = frame.values[level.map].bytes;
      std::uint8_t* const target = out.data + i * out.image_stride;
      const int size = settings_.size, ratio = settings_.sampling_ratio;
      if (!scratch.x.compute(box[0], box[2], level.scale, size, ratio, map.w) ||
          !scratch.y.compute(box[1], box[3], level.scale, size, ratio, map.h)) {
        std::memset(target, std::min(to.zero_point, to.maximum),
                    static_cast<std::size_t>(size) * size * out.c);
        continue;
      }
      frame.loops.roi_align({map.data, map.row_stride, map.c, map.c, size, scratch.x.view(),
                             scratch.y.view(), frame.descriptions[level.map].zero_point,
                             level.ratio, to.zero_point, to.maximum, to.ceil, target, lines});
    }
  });
}

}  // namespace lbw
