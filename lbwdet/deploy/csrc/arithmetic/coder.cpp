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
  if (kind == "TwiceCoder") {
    parts_.push_back(Coder(fields, "coder.first"));
    parts_.push_back(Coder(fields, "coder.second"));
    return;
  }
  distances_ = kind == "DistanceCoder";
  if (distances_) {
    clip_ = fields.flag("coder.clip");
    scale_ = fields.real("coder.scale");
    inset_ = fields.real("coder.inset");
    bins_ = fields.integer("coder.bins");
    exponential_ = fields.flag("coder.exponential");
    of_prior_ = fields.flag("coder.of_prior");
    vertical_first_ = fields.flag("coder.vertical_first");
    if (bins_ < 1 || bins_ > kMaxBins) throw Error("coder.bins is not in 1 .. 256");
  } else if (kind == "DeltaCoder") {
    read_deltas(fields, "coder");
  } else {
    throw Error("this build has no coder " + kind);
  }
}

Coder::Coder(const Fields& fields, const std::string& name) { read_deltas(fields, name); }

void Coder::read_deltas(const Fields& fields, const std::string& name) {
  const auto named = [&](const char* field) { return name + "." + field; };
  clip_ = fields.flag(named("clip").c_str());
  means_ = fields.floats(named("means").c_str(), 4);
  stds_ = fields.floats(named("stds").c_str(), 4);
  max_log_ratio_ = fields.real(named("max_log_ratio").c_str());
  max_shift_ = fields.real(named("max_shift").c_str());
  inset_ = fields.flag(named("end_pixels").c_str()) ? 1 : 0;
  in_cell_ = fields.flag(named("in_cell").c_str());
  if (!(max_log_ratio_ >= 0)) throw Error(named("max_log_ratio is negative"));
}

void Coder::decode_in_turn(Box* boxes, const float* const* deltas, std::size_t count, int height,
                           int width, const Loops& loops, float stride) const {
  const float* own[kBlock];
  for (std::size_t at = 0; at < count; at += kBlock) {
    const std::size_t some = std::min(kBlock, count - at);
    std::copy_n(deltas + at, some, own);
    for (const Coder& part : parts_) {
      part.decode(boxes + at, own, some, height, width, loops, stride);
      for (std::size_t i = 0; i < some; ++i) own[i] += part.numbers();
    }
  }
}

void Coder::decode(Box* boxes, const float* const* deltas, std::size_t count, int height,
                   int width, const Loops& loops, float stride) const {
  if (!parts_.empty()) return decode_in_turn(boxes, deltas, count, height, width, loops, stride);
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
