#include "spread.h"

#include <algorithm>
#include <cmath>

#include "runs.h"

namespace lbw {
namespace {

float sum(const float* numbers, const Taps& taps) {
  float total = numbers[taps.index[0]] * taps.share[0];
  for (int tap = 1; tap < 4; ++tap) total += numbers[taps.index[tap]] * taps.share[tap];
  return total;
}

}  // namespace

Neighbours neighbours(double place, int size) {
  const int first = static_cast<int>(std::min(std::floor(place), size - 1.0));
  return {first, std::min(first + 1, size - 1), place - first};
}

Neighbours resized_neighbours(std::int64_t index, int source, std::int64_t target) {
  const double ratio = static_cast<double>(source) / static_cast<double>(target);
  return neighbours(std::max((static_cast<double>(index) + 0.5) * ratio - 0.5, 0.0), source);
}

Neighbours aligned_neighbours(int index, int source, int factor) {
  return neighbours(std::max(index - factor / 2, 0) / static_cast<double>(factor), source);
}

Taps Enlargement::taps(std::int64_t pixel) const {
  const auto of_mask = [&](int index) {
    return aligned ? aligned_neighbours(index, mask, factor)
                   : neighbours(std::max((index + 0.5) / factor - 0.5, 0.0), mask);
  };
  const Neighbours outer = resized_neighbours(pixel, source, target);
  const Neighbours a = of_mask(outer.first), b = of_mask(outer.second);
  const double share = outer.share;
  return {{a.first, a.second, b.first, b.second},
          {static_cast<float>((1 - share) * (1 - a.share)),
           static_cast<float>((1 - share) * a.share), static_cast<float>(share * (1 - b.share)),
           static_cast<float>(share * b.share)}};
}

double spread_scratch(double mask_height, double height) {
  return scratch_bytes<float>(mask_height) + scratch_bytes<Taps>(height);
}

std::vector<std::uint32_t> spread(const float* mask, const Enlargement& rows,
                                  const Enlargement& columns, float threshold, int height,
                                  int width, Scratch scratch) {
  auto* const line = scratch.take<float>(rows.mask);
  auto* const down = scratch.take<Taps>(height);
  for (int y = 0; y < height; ++y) down[y] = rows.taps(y);
  Runs runs;
  for (int x = 0; x < width; ++x) {
    const Taps across = columns.taps(x);
    for (int i = 0; i < rows.mask; ++i)
      line[i] = sum(mask + static_cast<std::ptrdiff_t>(i) * columns.mask, across);
    const std::int64_t column = static_cast<std::int64_t>(x) * height;
    for (int y = 0; y < height; ++y)
      runs.change(column + y, sum(line, down[y]) >= threshold);
  }
  runs.end(static_cast<std::int64_t>(height) * width);
  return std::move(runs.lengths);
}

}  // namespace lbw
