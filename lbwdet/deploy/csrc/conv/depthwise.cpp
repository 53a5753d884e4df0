#include "depthwise.h"

#include <cstdlib>
#include <limits>

namespace lbw::conv {
namespace {

constexpr std::int64_t kExact = 1 << 24;  // float32 holds all whole numbers up to here

}  // namespace

bool Depthwise::fits(const Spec& spec, const int8_t* weight) {
  if (spec.groups == 1 || spec.in_channels != spec.groups || spec.out_channels != spec.groups)
    return false;
  const std::int64_t taps = static_cast<std::int64_t>(spec.kernel_h) * spec.kernel_w;
  for (int c = 0; c < spec.groups; ++c) {
    std::int64_t magnitude = 0;
    for (std::int64_t tap = 0; tap < taps; ++tap) magnitude += std::abs(weight[c * taps + tap]);
    if (2 * 255 * magnitude > kExact) return false;
  }
  return true;
}

Depthwise::Depthwise(const Spec& spec, const int8_t* weight, const float* multiplier,
                     const float* offset, const float* factor)
    : spec_(spec), start_(spec.groups, 0.0f) {
  const std::size_t channels = spec.groups;
  const std::size_t taps = static_cast<std::size_t>(spec.kernel_h) * spec.kernel_w;
  weight_.resize(taps * channels);
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t tap = 0; tap < taps; ++tap) {
      const auto factor = static_cast<float>(weight[c * taps + tap]);
      weight_[tap * channels + c] = factor;
      start_[c] -= static_cast<float>(spec.zero_in) * factor;
    }
  multiplier_.assign(multiplier, multiplier + channels);
  offset_.assign(offset, offset + channels);
  if (spec.silu) factor_.assign(factor, factor + channels);
}

void Depthwise::run(const Map& in, const Map* bytes, const FloatMap* floats, const Map* residual,
                    const Rounding& to, const Loops& loops, std::int64_t begin,
                    std::int64_t end) const {
  const Spec& s = spec_;
  const int height = bytes ? bytes->h : floats->h, width = bytes ? bytes->w : floats->w;
  std::vector<std::ptrdiff_t> taps, r_columns;
  for (int ky = 0; ky < s.kernel_h; ++ky)
    for (int kx = 0; kx < s.kernel_w; ++kx)
      taps.push_back(static_cast<std::ptrdiff_t>(ky) * s.dilation_h * in.row_stride +
                     static_cast<std::ptrdiff_t>(kx) * s.dilation_w * in.c);
  if (residual)
    for (int j = 0; j < width; ++j)
      r_columns.push_back(static_cast<std::int64_t>(j) * residual->w / width * residual->c);

  DepthwiseTask task{};
  task.taps = taps.data();
  task.tap_count = static_cast<int>(taps.size());
  task.x_column = static_cast<std::ptrdiff_t>(s.stride_w) * in.c;
  task.columns = width;
  task.channels = s.groups;
  task.weight = weight_.data();
  task.start = start_.data();
  task.multiplier = multiplier_.data();
  task.offset = offset_.data();
  task.factor = spec_.silu ? factor_.data() : nullptr;
  task.r_columns = r_columns.data();
  task.zero_residual = static_cast<float>(s.zero_residual);
  task.ratio = s.ratio;
  task.to = to;
  task.low_float = s.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t image = row / height, y = row % height;
    task.x = in.data + image * in.image_stride + (y * s.stride_h - s.padding_h) * in.row_stride -
             static_cast<std::ptrdiff_t>(s.padding_w) * in.c;
    if (bytes) task.y = bytes->data + image * bytes->image_stride + y * bytes->row_stride;
    if (floats)
      task.y_float = floats->data + image * floats->image_stride + y * floats->row_stride;
    if (residual)
      task.r = residual->data + image * residual->image_stride +
               y * residual->h / height * residual->row_stride;
    loops.depthwise(task);
  }
}

}  // namespace lbw::conv
