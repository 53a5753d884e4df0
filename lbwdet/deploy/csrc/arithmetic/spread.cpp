#include "spread.h"

#include <algorithm>
#include <cmath>

#include "runs.h"

namespace lbw {
namespace {

constexpr double kWhole = 16777216;  // 2**24

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
    if (aligned) return aligned_neighbours(index, mask, factor);
    if (factor == 0) return resized_neighbours(index, mask, source);
    return neighbours(std::max((index + 0.5) / factor - 0.5, 0.0), mask);
  };
  const Neighbours outer = resized_neighbours(pixel, source, target);
  const Neighbours a = of_mask(outer.first), b = of_mask(outer.second);
  const double share = outer.share;
  return {{a.first, a.second, b.first, b.second},
          {static_cast<float>((1 - share) * (1 - a.share)),
           static_cast<float>((1 - share) * a.share), static_cast<float>(share * (1 - b.share)),
           static_cast<float>(share * b.share)}};
}

void Cover::add(int x, int y, float value) {
  if (area_ == 0) left_ = x, top_ = y, bottom_ = y + 1;
  right_ = x + 1;
  top_ = std::min(top_, y), bottom_ = std::max(bottom_, y + 1);
  column_[count_++] = static_cast<double>(value);
  ++area_;
}

void Cover::end_column() {
  sigmoid(column_, count_, loops_);
  for (std::size_t i = 0; i < count_; ++i) steps_ += std::rint(column_[i] * kWhole);
  count_ = 0;
}

Box Cover::box() const {
  return {static_cast<float>(left_), static_cast<float>(top_), static_cast<float>(right_),
          static_cast<float>(bottom_)};
}

float Cover::mean() const {
  return area_ == 0 ? 0.0f : static_cast<float>(steps_ / (area_ * kWhole));
}

double spread_scratch(double mask_height, double height) {
  return scratch_bytes<float>(mask_height) + scratch_bytes<Taps>(height);
}

std::vector<std::uint32_t> spread(const float* mask, const Enlargement& rows,
                                  const Enlargement& columns, float threshold, int height,
                                  int width, Scratch scratch, Cover* cover) {
  auto* const line = scratch.take<float>(rows.mask);
  auto* const down = scratch.take<Taps>(height);
  for (int y = 0; y < height; ++y) down[y] = rows.taps(y);
  Runs runs;
  for (int x = 0; x < width; ++x) {
    const Taps across = columns.taps(x);
    for (int i = 0; i < rows.mask; ++i)
      line[i] = sum(mask + static_cast<std::ptrdiff_t>(i) * columns.mask, across);
    const std::int64_t column = static_cast<std::int64_t>(x) * height;
    for (int y = 0; y < height; ++y) {
      const float value = sum(line, down[y]);
      const bool inside = value >= threshold;
      runs.change(column + y, inside);
      if (inside && cover) cover->add(x, y, value);
    }
    if (cover) cover->end_column();
  }
  runs.end(static_cast<std::int64_t>(height) * width);
  return std::move(runs.lengths);
}

}  // namespace lbw
