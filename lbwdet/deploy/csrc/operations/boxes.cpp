#include "boxes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lbw {

double exact_exp(double x) {
  const double k = std::nearbyint(x * 1.4426950408889634);
  const double r = x - k * 0.6931471805599453;
  double p = 1;
  for (int n = 13; n >= 1; --n) p = 1 + p * r / n;
  return std::ldexp(p, static_cast<int>(std::clamp(k, -5000.0, 5000.0)));
}

Box BoxCoder::decode(const Box& box, const float* delta, float width, float height) const {
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = delta[i] * stds[i] + means[i];
  for (int i = 2; i < 4; ++i) d[i] = std::clamp(d[i], -max_log_ratio, max_log_ratio);
  const float pw = box.x2 - box.x1, ph = box.y2 - box.y1;
  const float px = (box.x1 + box.x2) * 0.5f, py = (box.y1 + box.y2) * 0.5f;
  const float gx = px + pw * d[0], gy = py + ph * d[1];
  const float gw = pw * static_cast<float>(exact_exp(d[2]));
  const float gh = ph * static_cast<float>(exact_exp(d[3]));
  return {std::clamp(gx - gw * 0.5f, 0.0f, width), std::clamp(gy - gh * 0.5f, 0.0f, height),
          std::clamp(gx + gw * 0.5f, 0.0f, width), std::clamp(gy + gh * 0.5f, 0.0f, height)};
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
