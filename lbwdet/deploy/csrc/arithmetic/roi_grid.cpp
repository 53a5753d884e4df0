#include "roi_grid.h"

#include <algorithm>
#include <cmath>

namespace lbw {
namespace {

constexpr float kMaxExtent = 1 << 20;

}  // namespace

RoiGrid::RoiGrid(int size, int length, Scratch& memory)
    : size_(size),
      first_(memory.take<int>(size)),
      count_(memory.take<int>(size)),
      weights_(memory.take<float>(static_cast<std::size_t>(size) * length)) {}

double RoiGrid::scratch(double size, double length) {
  return 2 * scratch_bytes<int>(size) + scratch_bytes<float>(size * length);
}

double RoiGrid::samples(double size, double sampling_ratio) {
  return sampling_ratio > 0 ? size * sampling_ratio : kMaxExtent + size;
}

bool RoiGrid::compute(float low, float high, float scale, int sampling_ratio, int length,
                      bool aligned) {
  const float shift = aligned ? 0.5f : 0.0f;
  const float start = low * scale - shift;
  float extent = high * scale - shift - start;
  if (!aligned) extent = std::max(extent, 1.0f);  // no number stays none
  if (!(extent >= 0 && extent <= kMaxExtent)) return false;  // nor if it is no number
  const float bin = extent / static_cast<float>(size_);
  const int grid = sampling_ratio > 0 ? sampling_ratio : static_cast<int>(std::ceil(bin));
  if (grid <= 0) return false;
  // Between the first and the last sample of a bin, and one more tap.
  stride_ = std::min(static_cast<int>(std::ceil(bin)) + 3, length);
  std::fill_n(first_, size_, 0);
  std::fill_n(count_, size_, 0);
  std::fill_n(weights_, static_cast<std::size_t>(size_) * stride_, 0.0f);
  const float part = 1.0f / static_cast<float>(grid);
  for (int b = 0; b < size_; ++b) {
    float* const weights = weights_ + static_cast<std::size_t>(b) * stride_;
    for (int i = 0; i < grid; ++i) {
      const float middle = static_cast<float>(i) + 0.5f;
      float u = start + static_cast<float>(b) * bin + middle * bin / static_cast<float>(grid);
      if (!(u >= -1.0f && u <= static_cast<float>(length))) continue;
      u = std::max(u, 0.0f);
      int j = static_cast<int>(u);
      int next = j + 1;
      if (j >= length - 1) {
        j = next = length - 1;
        u = static_cast<float>(j);
      }
      if (count_[b] == 0) first_[b] = j;  // samples ascend
      const float second = u - static_cast<float>(j);
      weights[j - first_[b]] += 1.0f - second;
      weights[next - first_[b]] += second;
      count_[b] = next - first_[b] + 1;
    }
    for (int i = 0; i < count_[b]; ++i) weights[i] *= part;
  }
  return true;
}

}  // namespace lbw
