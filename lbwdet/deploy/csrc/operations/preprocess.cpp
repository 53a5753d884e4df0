#include "preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lbw {
namespace {

// Where target index i reads along one axis: `first`, `second`, and the weight of the second.
struct Tap {
  int first, second, weight;
};

Tap tap(int i, int source, int target) {
  const double f = (i + 0.5) * (static_cast<double>(source) / target) - 0.5;
  const double j = std::floor(f);
  const int first = static_cast<int>(j);
  return {std::clamp(first, 0, source - 1), std::clamp(first + 1, 0, source - 1),
          static_cast<int>(std::nearbyint((f - j) * 2048))};
}

}  // namespace

Size Preprocess::resized(Size image) const {
  if (!settings_.keep_ratio) return {settings_.height, settings_.width};
  const double longer = std::max(settings_.width, settings_.height);
  const double shorter = std::min(settings_.width, settings_.height);
  const double factor = std::min(longer / std::max(image.height, image.width),
                                 shorter / std::min(image.height, image.width));
  return {static_cast<int>(image.height * factor + 0.5),
          static_cast<int>(image.width * factor + 0.5)};
}

Shape Preprocess::shape(const std::vector<Shape>&, Size image) const {
  const Size size = resized(image);
  if (size.height < 1 || size.width < 1)
    throw Error("an image of " + std::to_string(image.height) + " x " +
                std::to_string(image.width) + " pixels becomes " + std::to_string(size.height) +
                " x " + std::to_string(size.width) + " when resized: nothing is left of it");
  const int divisor = settings_.size_divisor;
  return {1, (size.height + divisor - 1) / divisor * divisor,
          (size.width + divisor - 1) / divisor * divisor, 3};
}

void Preprocess::run(Frame& frame) const {
  const Image& image = frame.image;
  const Size size = frame.resized;
  const conv::Map& out = frame.begin_bytes(output, 1);
  const bool resize = size.height != image.size.height || size.width != image.size.width;
  // Byte offsets of the two pixels, and the second's weight.
  std::vector<ResizeTap> columns(resize ? size.width : 0);
  for (int x = 0; x < static_cast<int>(columns.size()); ++x) {
    const Tap at = tap(x, image.size.width, size.width);
    columns[x] = {3 * at.first, 3 * at.second, at.weight};
  }
  const std::size_t line = 3 * static_cast<std::size_t>(image.size.width);
  std::vector<std::vector<std::int32_t>> scratch(frame.pool.threads());
  const int zero_point = frame.descriptions[output].zero_point;

  frame.pool.parallel(out.h, 16, [&](std::int64_t begin, std::int64_t end, int thread) {
    auto& blended = scratch[thread];
    if (resize) blended.resize(line);
    for (std::int64_t y = begin; y < end; ++y) {
      std::uint8_t* const target = out.data + y * out.row_stride;
      if (y >= size.height) {
        std::memset(target, zero_point, 3 * static_cast<std::size_t>(out.w));
        continue;
      }
      if (resize) {
        const Tap at = tap(static_cast<int>(y), image.size.height, size.height);
        frame.loops.blend(image.data + at.first * line, image.data + at.second * line, at.weight,
                          line, blended.data());
        frame.loops.resize(blended.data(), columns.data(), columns.size(), settings_.to_rgb,
                           settings_.table.data(), target);
      } else {
        const std::uint8_t* const pixels = image.data + y * line;
        const int first = settings_.to_rgb ? 2 : 0, step = 1 - first;
        for (std::size_t x = 0; x < line; x += 3)
          for (int c = 0; c < 3; ++c)
            target[x + c] = settings_.table[256 * c + pixels[x + first + c * step]];
      }
      std::memset(target + 3 * static_cast<std::size_t>(size.width), zero_point,
                  3 * static_cast<std::size_t>(out.w - size.width));
    }
  });
}

}  // namespace lbw
