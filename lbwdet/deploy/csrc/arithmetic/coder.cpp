#include "coder.h"

#include <algorithm>

namespace lbw {
namespace {

constexpr std::size_t kBlock = 64;  // boxes whose exponentials are computed together

}  // namespace

Coder::Coder(const Fields& fields) {
  const std::string kind = fields.text("coder");
  distances_ = kind == "DistanceCoder";
  clip_ = fields.flag("coder.clip");
  if (distances_) {
    scale_ = fields.real("coder.scale");
  } else if (kind == "DeltaCoder") {
    means_ = fields.floats("coder.means", 4);
    stds_ = fields.floats("coder.stds", 4);
    max_log_ratio_ = fields.real("coder.max_log_ratio");
    if (!(max_log_ratio_ >= 0)) throw Error("coder.max_log_ratio is negative");
  } else {
    throw Error("this build has no coder " + kind);
  }
}

void Coder::decode(Box* boxes, const float* const* deltas, std::size_t count, int height,
                   int width, const Loops& loops) const {
  if (distances_)
    decode_distances(boxes, deltas, count);
  else
    for (std::size_t i = 0; i < count; i += kBlock)
      decode_deltas(boxes + i, deltas + i, std::min(kBlock, count - i), loops);
  if (!clip_) return;
  const auto right = static_cast<float>(width), bottom = static_cast<float>(height);
  for (std::size_t i = 0; i < count; ++i) {
    Box& box = boxes[i];
    box = {std::clamp(box.x1, 0.0f, right), std::clamp(box.y1, 0.0f, bottom),
           std::clamp(box.x2, 0.0f, right), std::clamp(box.y2, 0.0f, bottom)};
  }
}

void Coder::decode_deltas(Box* boxes, const float* const* deltas, std::size_t count,
                          const Loops& loops) const {
  double stretches[2 * kBlock];  // of widths and heights
  for (std::size_t i = 0; i < count; ++i)
    for (int axis = 0; axis < 2; ++axis) {
      const float d = deltas[i][2 + axis] * stds_[2 + axis] + means_[2 + axis];
      stretches[2 * i + axis] = std::clamp(d, -max_log_ratio_, max_log_ratio_);
    }
  loops.exponentials(stretches, 2 * count);
  for (std::size_t i = 0; i < count; ++i) {
    Box& box = boxes[i];
    const float dx = deltas[i][0] * stds_[0] + means_[0], dy = deltas[i][1] * stds_[1] + means_[1];
    const float pw = box.x2 - box.x1, ph = box.y2 - box.y1;
    const float px = (box.x1 + box.x2) * 0.5f, py = (box.y1 + box.y2) * 0.5f;
    const float gx = px + pw * dx, gy = py + ph * dy;
    const float gw = pw * static_cast<float>(stretches[2 * i]);
    const float gh = ph * static_cast<float>(stretches[2 * i + 1]);
    box = {gx - gw * 0.5f, gy - gh * 0.5f, gx + gw * 0.5f, gy + gh * 0.5f};
  }
}

void Coder::decode_distances(Box* boxes, const float* const* deltas, std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    Box& box = boxes[i];
    const float* const d = deltas[i];
    const float px = (box.x1 + box.x2) * 0.5f, py = (box.y1 + box.y2) * 0.5f;
    box = {px - d[0] * scale_, py - d[1] * scale_, px + d[2] * scale_, py + d[3] * scale_};
  }
}

}  // namespace lbw
