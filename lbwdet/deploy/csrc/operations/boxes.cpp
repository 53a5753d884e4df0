#include "boxes.h"

#include <algorithm>
#include <cstring>

namespace lbw {

std::vector<Box> BoxCoder::decode(const std::vector<Box>& boxes,
                                  const std::vector<const float*>& deltas, float width,
                                  float height, const Loops& loops) const {
  const std::size_t count = boxes.size();
  std::vector<double> stretches(2 * count);  // of widths and heights
  for (std::size_t i = 0; i < count; ++i) {
    for (int axis = 0; axis < 2; ++axis) {
      const float d = deltas[i][2 + axis] * stds[2 + axis] + means[2 + axis];
      stretches[2 * i + axis] = std::clamp(d, -max_log_ratio, max_log_ratio);
    }
  }
  loops.exponentials(stretches.data(), stretches.size());
  std::vector<Box> decoded(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Box& box = boxes[i];
    const float dx = deltas[i][0] * stds[0] + means[0], dy = deltas[i][1] * stds[1] + means[1];
    const float pw = box.x2 - box.x1, ph = box.y2 - box.y1;
    const float px = (box.x1 + box.x2) * 0.5f, py = (box.y1 + box.y2) * 0.5f;
    const float gx = px + pw * dx, gy = py + ph * dy;
    const float gw = pw * static_cast<float>(stretches[2 * i]);
    const float gh = ph * static_cast<float>(stretches[2 * i + 1]);
    decoded[i] = {
        std::clamp(gx - gw * 0.5f, 0.0f, width), std::clamp(gy - gh * 0.5f, 0.0f, height),
        std::clamp(gx + gw * 0.5f, 0.0f, width), std::clamp(gy + gh * 0.5f, 0.0f, height)};
  }
  return decoded;
}

std::uint64_t rank(float score, std::uint32_t index) {
  score += 0.0f;  // -0 becomes 0
  std::uint32_t bits;
  std::memcpy(&bits, &score, sizeof bits);
  // Ascending order of floats is that of these integers; turned round, descending.
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<std::uint64_t>(~bits) << 32 | index;
}

float ranked_score(std::uint64_t rank) {
  std::uint32_t bits = ~static_cast<std::uint32_t>(rank >> 32);
  bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
  float score;
  std::memcpy(&score, &bits, sizeof score);
  return score;
}

std::vector<int> suppress(const std::vector<Box>& boxes, float threshold, std::size_t most,
                          const Loops& loops) {
  const std::size_t count = boxes.size();
  // Columns, so that one box meets all later ones in vectors.
  std::vector<float> columns(5 * count);
  const BoxColumns view{columns.data(), columns.data() + count, columns.data() + 2 * count,
                        columns.data() + 3 * count, columns.data() + 4 * count};
  for (std::size_t i = 0; i < count; ++i) {
    const Box& box = boxes[i];
    columns[i] = box.x1;
    columns[count + i] = box.y1;
    columns[2 * count + i] = box.x2;
    columns[3 * count + i] = box.y2;
    columns[4 * count + i] = (box.x2 - box.x1) * (box.y2 - box.y1);
  }
  std::vector<std::int32_t> dropped(count, 0);
  std::vector<int> kept;
  for (std::size_t i = 0; i < count && kept.size() < most; ++i) {
    if (dropped[i]) continue;
    kept.push_back(static_cast<int>(i));
    loops.mark_overlaps(view, i, count, threshold, dropped.data());
  }
  return kept;
}

}  // namespace lbw
