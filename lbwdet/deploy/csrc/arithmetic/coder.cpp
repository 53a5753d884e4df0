#include "coder.h"

#include <algorithm>

namespace lbw {
namespace {

constexpr std::size_t kBlock = 64;  // boxes whose exponentials are computed together
constexpr int kMaxBins = 256;
constexpr double kLeastExponent = -700, kLargestExponent = 40;  // the latter of distances

}  // namespace

Coder::Coder(const Fields& fields) {
  const std::string kind = fields.text("coder");
  distances_ = kind == "DistanceCoder";
  clip_ = fields.flag("coder.clip");
  if (distances_) {
    scale_ = fields.real("coder.scale");
    inset_ = fields.real("coder.inset");
    bins_ = fields.integer("coder.bins");
    exponential_ = fields.flag("coder.exponential");
    of_prior_ = fields.flag("coder.of_prior");
    vertical_first_ = fields.flag("coder.vertical_first");
    if (bins_ < 1 || bins_ > kMaxBins) throw Error("coder.bins is not in 1 .. 256");
  } else if (kind == "DeltaCoder") {
    means_ = fields.floats("coder.means", 4);
    stds_ = fields.floats("coder.stds", 4);
    max_log_ratio_ = fields.real("coder.max_log_ratio");
    max_shift_ = fields.real("coder.max_shift");
    inset_ = fields.flag("coder.end_pixels") ? 1 : 0;
    in_cell_ = fields.flag("coder.in_cell");
    if (!(max_log_ratio_ >= 0)) throw Error("coder.max_log_ratio is negative");
  } else {
    throw Error("this build has no coder " + kind);
  }
}

void Coder::decode(Box* boxes, const float* const* deltas, std::size_t count, int height,
                   int width, const Loops& loops, float stride) const {
  for (std::size_t i = 0; i < count; i += kBlock) {
    const std::size_t some = std::min(kBlock, count - i);
    if (distances_)
      decode_distances(boxes + i, deltas + i, some, loops);
    else
      decode_deltas(boxes + i, deltas + i, some, loops, stride);
  }
  if (!clip_) return;
  const float right = static_cast<float>(width) - inset_;
  const float bottom = static_cast<float>(height) - inset_;
  for (std::size_t i = 0; i < count; ++i) {
    Box& box = boxes[i];
    box = {std::clamp(box.x1, 0.0f, right), std::clamp(box.y1, 0.0f, bottom),
           std::clamp(box.x2, 0.0f, right), std::clamp(box.y2, 0.0f, bottom)};
  }
}

void Coder::decode_deltas(Box* boxes, const float* const* deltas, std::size_t count,
                          const Loops& loops, float stride) const {
  double stretches[2 * kBlock];  // of widths and heights
  double places[2 * kBlock];     // in the cell
  const double least = max_shift_ > 0 ? kLeastExponent : -max_log_ratio_;
  for (std::size_t i = 0; i < count; ++i)
    for (int axis = 0; axis < 2; ++axis) {
      const float d = deltas[i][2 + axis] * stds_[2 + axis] + means_[2 + axis];
      stretches[2 * i + axis] = std::clamp<double>(d, least, max_log_ratio_);
    }
  loops.exponentials(stretches, 2 * count);
  if (in_cell_) {
    for (std::size_t i = 0; i < count; ++i)
      for (int axis = 0; axis < 2; ++axis)
        places[2 * i + axis] = deltas[i][axis] * stds_[axis] + means_[axis];
    sigmoid(places, 2 * count, loops);
  }
  for (std::size_t i = 0; i < count; ++i) {
    Box& box = boxes[i];
    const float dx = deltas[i][0] * stds_[0] + means_[0], dy = deltas[i][1] * stds_[1] + means_[1];
    const float pw = box.x2 - box.x1 + inset_, ph = box.y2 - box.y1 + inset_;
    const float px = (box.x1 + box.x2) * 0.5f, py = (box.y1 + box.y2) * 0.5f;
    float shift_x = pw * dx, shift_y = ph * dy;
    if (in_cell_) {
      shift_x = (static_cast<float>(places[2 * i]) - 0.5f) * stride;
      shift_y = (static_cast<float>(places[2 * i + 1]) - 0.5f) * stride;
    }
    if (max_shift_ > 0) {
      shift_x = std::clamp(shift_x, -max_shift_, max_shift_);
      shift_y = std::clamp(shift_y, -max_shift_, max_shift_);
    }
    const float gx = px + shift_x, gy = py + shift_y;
    const float gw = pw * static_cast<float>(stretches[2 * i]);
    const float gh = ph * static_cast<float>(stretches[2 * i + 1]);
    box = {gx - gw * 0.5f, gy - gh * 0.5f, gx + gw * 0.5f, gy + gh * 0.5f};
  }
}

void Coder::decode_distances(Box* boxes, const float* const* deltas, std::size_t count,
                             const Loops& loops) const {
  float distances[kBlock][4];
  read_distances(deltas, count, loops, distances);
  const int left = vertical_first_ ? 2 : 0, top = vertical_first_ ? 0 : 1;
  const int right = vertical_first_ ? 3 : 2, bottom = vertical_first_ ? 1 : 3;
  for (std::size_t i = 0; i < count; ++i) {
    Box& box = boxes[i];
    float d[4];
    for (int side = 0; side < 4; ++side) d[side] = distances[i][side] * scale_;
    if (of_prior_) {
      const float width = box.x2 - box.x1, height = box.y2 - box.y1;
      d[left] *= width, d[right] *= width;
      d[top] *= height, d[bottom] *= height;
    }
    const float px = (box.x1 + box.x2) * 0.5f, py = (box.y1 + box.y2) * 0.5f;
    box = {px - d[left], py - d[top], px + d[right], py + d[bottom]};
  }
}

void Coder::read_distances(const float* const* predicted, std::size_t count, const Loops& loops,
                           float (*distances)[4]) const {
  double terms[kMaxBins];
  float shares[kMaxBins];
  for (std::size_t i = 0; i < count; ++i)
    for (int side = 0; side < 4; ++side) {
      if (bins_ == 1) {
        distances[i][side] = predicted[i][side];
        continue;
      }
      softmax(predicted[i] + side * bins_, bins_, loops, terms, shares);
      float mean = 0;
      for (int bin = 0; bin < bins_; ++bin) mean = mean + shares[bin] * static_cast<float>(bin);
      distances[i][side] = mean;
    }
  if (!exponential_) return;
  double powers[4 * kBlock];
  for (std::size_t i = 0; i < count; ++i)
    for (int side = 0; side < 4; ++side)
      powers[4 * i + side] = std::clamp<double>(distances[i][side], kLeastExponent,
                                                kLargestExponent);
  loops.exponentials(powers, 4 * count);
  for (std::size_t i = 0; i < count; ++i)
    for (int side = 0; side < 4; ++side)
      distances[i][side] = static_cast<float>(powers[4 * i + side]);
}

}  // namespace lbw
