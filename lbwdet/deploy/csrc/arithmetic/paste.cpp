#include "paste.h"

#include <algorithm>
#include <cmath>

#include "runs.h"

namespace lbw {
namespace {

struct Window {
  int low, high;
};

int inside(float end, int length) {  // 0 if it is no number
  if (!(end > 0)) return 0;
  return end < static_cast<float>(length) ? static_cast<int>(end) : length;
}

Window window(float first, float second, int length) {
  const int low = inside(std::floor(first) - 1, length);
  return {low, std::max(low, inside(std::ceil(second) + 1, length))};
}

PasteTap tap(int pixel, float first, float second, int count) {
  const auto n = static_cast<float>(count);
  float u = (static_cast<float>(pixel) + 0.5f - first) / (second - first) * n - 0.5f;
  if (!std::isfinite(u)) u = n * 0.5f - 0.5f;
  u = std::clamp(u, -2.0f, static_cast<float>(count + 1));
  const float floor = std::floor(u), share = u - floor;
  const int j = static_cast<int>(floor);
  // What lies outside counts as 0, whichever pixel it is read at.
  const bool has_first = j >= 0 && j < count, has_second = j + 1 >= 0 && j + 1 < count;
  return {has_first ? j : 0, has_second ? j + 1 : 0, has_first ? 1.0f - share : 0.0f,
          has_second ? share : 0.0f};
}

}  // namespace

double paste_scratch(double mask_height, double height) {
  return scratch_bytes<float>(mask_height) + scratch_bytes<PasteTap>(height);
}

std::vector<std::uint32_t> paste(const BoxMask& mask, const Box& box, float threshold, int height,
                                 int width, Scratch scratch) {
  auto* const line = scratch.take<float>(mask.h);
  auto* const taps = scratch.take<PasteTap>(height);
  const Window columns = window(box.x1, box.x2, width), rows = window(box.y1, box.y2, height);
  for (int y = rows.low; y < rows.high; ++y) taps[y] = tap(y, box.y1, box.y2, mask.h);
  Runs runs;
  for (int x = columns.low; x < columns.high && rows.low < rows.high; ++x) {
    const PasteTap across = tap(x, box.x1, box.x2, mask.w);
    for (int i = 0; i < mask.h; ++i) {
      const float* const row = mask.data + static_cast<std::ptrdiff_t>(i) * mask.w;
      line[i] = row[across.first] * across.first_share + row[across.second] * across.second_share;
    }
    const std::int64_t column = static_cast<std::int64_t>(x) * height;
    if (rows.low > 0) runs.change(column, false);
    for (int y = rows.low; y < rows.high; ++y) {
      const PasteTap& down = taps[y];
      const float value =
          line[down.first] * down.first_share + line[down.second] * down.second_share;
      runs.change(column + y, value >= threshold);
    }
    if (rows.high < height) runs.change(column + rows.high, false);
  }
  const std::int64_t pixels = static_cast<std::int64_t>(height) * width;
  const std::int64_t behind = static_cast<std::int64_t>(columns.high) * height;
  if (behind < pixels) runs.change(behind, false);
  runs.end(pixels);
  return std::move(runs.lengths);
}

}  // namespace lbw
