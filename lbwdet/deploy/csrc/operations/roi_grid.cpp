#include "roi_grid.h"

#include <algorithm>
#include <cmath>

namespace lbw {

bool RoiGrid::compute(float low, float high, float scale, int size, int sampling_ratio,
                      int length) {
  const float start = low * scale - 0.5f;
  const float extent = high * scale - 0.5f - start;
  const float bin = extent / static_cast<float>(size);
  if (!std::isfinite(bin)) return false;  // deltas that overflowed
  const int grid = sampling_ratio > 0
                       ? sampling_ratio
                       : static_cast<int>(std::ceil(extent / static_cast<float>(size)));
  if (grid <= 0) return false;
  // Between the first and the last sample of a bin, and one more tap.
  stride_ = std::min(static_cast<int>(std::ceil(bin)) + 3, length);
  first_.assign(size, 0);
  count_.assign(size, 0);
  weights_.assign(static_cast<std::size_t>(size) * stride_, 0.0f);
  const float part = 1.0f / static_cast<float>(grid);
  for (int b = 0; b < size; ++b) {
    float* const weights = &weights_[static_cast<std::size_t>(b) * stride_];
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
