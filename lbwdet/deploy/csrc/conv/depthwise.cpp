#include "depthwise.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "pack.h"

namespace lbw::conv {
namespace {

constexpr std::int64_t kExact = 1 << 24;  // float32 holds all whole numbers up to here

bool is_nine(const Spec& spec) { return spec.kernel_h == 3 && spec.kernel_w == 3; }

// Of a window of 3 x 3, as DepthwiseRow has its lines.
std::size_t place_in_pairs(std::size_t tap, std::size_t last) {
  const std::size_t line = last < 3 ? tap / 3 : tap % 3, at = last < 3 ? tap % 3 : tap / 3;
  return at + 3 * (line == last % 3 ? 2 : line - (line > last % 3));
}

}  // namespace

bool Depthwise::fits(const Spec& spec, const Weight& weight) {
  if (spec.groups == 1 || spec.in_channels != spec.groups || spec.out_channels != spec.groups)
    return false;
  const std::vector<ChannelSums> sums = channel_sums(spec, weight);
  return std::all_of(sums.begin(), sums.end(), [](const ChannelSums& channel) {
    return 2 * 255 * (channel.up + channel.down) <= kExact;
  });
}

Depthwise::Depthwise(const Spec& spec, const Weight& given, const ChannelNumbers& numbers,
                     const Isa& isa)
    : spec_(spec), isa_(isa) {
  const std::size_t channels = spec.groups, taps = window_of(spec);
  range_ = checked_range(spec, channel_sums(spec, given), numbers);
  std::vector<std::int8_t> weight(channels * taps);
  for (std::size_t c = 0; c < channels; ++c) {
    std::int8_t* const to = weight.data() + c * taps;
    std::copy_n(given.channel(c, taps, to), taps, to);
  }
  multiplier_.assign(numbers.multiplier, numbers.multiplier + channels);
  offset_.assign(numbers.offset, numbers.offset + channels);
  if (spec.silu) factor_.assign(numbers.factor, numbers.factor + channels);
  if (spec.residual) ratio_.assign(numbers.ratio, numbers.ratio + channels);
  if (isa.kernel->depthwise && !spec.to_float && !spec.residual) {
    pack_integers(weight.data());
    return;
  }
  start_.assign(channels, 0.0f);
  weight_.resize(taps * channels);
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t tap = 0; tap < taps; ++tap) {
      const auto number = static_cast<float>(weight[c * taps + tap]);
      weight_[tap * channels + c] = number;
      start_[c] -= static_cast<float>(spec.zero_in) * number;
    }
}

void Depthwise::pack_integers(const int8_t* weight) {
  constexpr std::size_t half = kDepthwiseHalf, slots = 2 * half;
  const std::size_t channels = spec_.groups, taps = window_of(spec_);
  const std::size_t quads = (taps + 3) / 4, step = channels % slots == 0 ? slots : half;
  const std::size_t blocks = (channels + step - 1) / step;
  if (isa_.kernel->narrow && is_nine(spec_)) find_lines(weight, step);
  const std::vector<float> given[] = {multiplier_, offset_, factor_};
  std::vector<float>* const numbers[] = {&multiplier_, &offset_, &factor_};
  for (std::vector<float>* const each : numbers)
    if (!each->empty()) each->assign(blocks * slots, 0.0f);
  sums_.assign(blocks * slots, 0);
  const bool paired = !last_lines_.empty();
  const std::size_t block_size = slots * (paired ? 2 * kDepthwisePairs : 4 * quads);
  integers_.assign(blocks * block_size, 0);
  for (std::size_t block = 0; block < blocks; ++block)
    for (std::size_t slot = 0; slot < slots; ++slot) {
      const std::size_t in_half = slot / 8 * 4 + slot % 4, is_second = slot / 4 % 2;
      const std::size_t c = block * step + in_half + (step == slots ? is_second * half : 0);
      if (c >= channels) continue;
      const std::size_t at = block * slots + slot;
      for (std::size_t i = 0; i < 3; ++i)
        if (!given[i].empty()) (*numbers[i])[at] = given[i][c];
      std::int8_t* const to = integers_.data() + block * block_size;
      for (std::size_t tap = 0; tap < taps; ++tap) {
        const std::int8_t w = weight[c * taps + tap];
        sums_[at] -= spec_.zero_in * w;
        if (paired) {
          const std::size_t i = place_in_pairs(tap, last_lines_[block]);
          const std::size_t in_pair = (in_half / 8 * 2 + is_second) * 8 + in_half % 8;
          to[(i / 2 * slots + in_pair) * 2 + i % 2] = w;
        } else {
          to[(tap / 4 * slots + slot) * 4 + tap % 4] = w;
        }
      }
    }
}

// A row, or else a column, whose sums surely fit int16, for all channels of each block; none if a
// block has no such line.
void Depthwise::find_lines(const int8_t* weight, std::size_t step) {
  const std::size_t channels = spec_.groups;
  const int most = INT16_MAX / std::max(spec_.maximum_in, spec_.zero_in);  // border, too
  const auto fits = [&](std::size_t first, std::size_t line) {
    for (std::size_t c = first; c < std::min(first + step, channels); ++c) {
      int up = 0, down = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        const int w = weight[c * 9 + (line < 3 ? 3 * line + i : 3 * i + line - 3)];
        (w > 0 ? up : down) += std::abs(w);
      }
      if (up > most || down > most) return false;
    }
    return true;
  };
  std::vector<std::uint8_t> lines;
  for (std::size_t first = 0; first < channels; first += step) {
    std::uint8_t line = 0;
    while (line < 6 && !fits(first, line)) ++line;
    if (line == 6) return;
    lines.push_back(line);
  }
  last_lines_ = std::move(lines);
}

std::vector<std::ptrdiff_t> Depthwise::taps_of(const Map& in) const {
  std::vector<std::ptrdiff_t> taps;
  for (int ky = 0; ky < spec_.kernel_h; ++ky)
    for (int kx = 0; kx < spec_.kernel_w; ++kx)
      taps.push_back(static_cast<std::ptrdiff_t>(ky) * spec_.dilation_h * in.row_stride +
                     static_cast<std::ptrdiff_t>(kx) * spec_.dilation_w * in.pixel_stride());
  return taps;
}

const std::uint8_t* Depthwise::window(const Map& in, std::int64_t image, std::int64_t y) const {
  return in.data + image * in.image_stride + (y * spec_.stride_h - spec_.padding_h) * in.row_stride -
         spec_.padding_w * in.pixel_stride();
}

void Depthwise::run_integers(const Map& in, const Map& out, std::int64_t begin,
                          std::int64_t end) const {
  std::vector<std::ptrdiff_t> taps = taps_of(in);
  while (taps.size() % 4) taps.push_back(taps.back());  // with weight 0
  DepthwiseRow row{};
  row.taps = taps.data();
  row.x_column = spec_.stride_w * in.pixel_stride();
  row.quads = static_cast<int>(taps.size() / 4);
  row.columns = out.w;
  row.channels = spec_.groups;
  row.weight = integers_.data();
  row.nine = is_nine(spec_);
  row.last_lines = last_lines_.empty() ? nullptr : last_lines_.data();
  row.start = sums_.data();
  row.multiplier = multiplier_.data();
  row.offset = offset_.data();
  row.factor = spec_.silu ? factor_.data() : nullptr;
  row.range = range_;
  row.ceil = spec_.ceil;
  row.zero = spec_.zero_out;
  row.low = spec_.relu ? spec_.zero_out : 0;
  row.high = spec_.maximum_out;
  row.y_column = out.pixel_stride();
  for (std::int64_t index = begin; index < end; ++index) {
    const std::int64_t image = index / out.h, y = index % out.h;
    row.x = window(in, image, y);
    row.y = out.data + image * out.image_stride + y * out.row_stride;
    isa_.kernel->depthwise(row);
  }
}

void Depthwise::run(const Map& in, const Map* bytes, const FloatMap* floats, const Map* residual,
                    const Rounding& to, std::int64_t begin, std::int64_t end) const {
  if (!integers_.empty()) return run_integers(in, *bytes, begin, end);
  const Spec& s = spec_;
  const int height = bytes ? bytes->h : floats->h, width = bytes ? bytes->w : floats->w;
  const std::vector<std::ptrdiff_t> taps = taps_of(in);
  std::vector<std::ptrdiff_t> r_columns;
  if (residual)
    for (int j = 0; j < width; ++j)
      r_columns.push_back(static_cast<std::int64_t>(j) * residual->w / width *
                          residual->pixel_stride());

  DepthwiseTask task{};
  task.taps = taps.data();
  task.tap_count = static_cast<int>(taps.size());
  task.x_column = s.stride_w * in.pixel_stride();
  task.columns = width;
  task.channels = s.groups;
  task.weight = weight_.data();
  task.start = start_.data();
  task.multiplier = multiplier_.data();
  task.offset = offset_.data();
  task.factor = s.silu ? factor_.data() : nullptr;
  task.r_columns = r_columns.data();
  task.zero_residual = static_cast<float>(s.zero_residual);
  task.ratio = ratio_.data();
  task.to = to;
  task.y_column = bytes ? bytes->pixel_stride() : floats->pixel_stride();
  task.low_float = s.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t image = row / height, y = row % height;
    task.x = window(in, image, y);
    if (bytes) task.y = bytes->data + image * bytes->image_stride + y * bytes->row_stride;
    if (floats)
      task.y_float = floats->data + image * floats->image_stride + y * floats->row_stride;
    if (residual)
      task.r = residual->data + image * residual->image_stride +
               y * residual->h / height * residual->row_stride;
    isa_.loops->depthwise(task);
  }
}

}  // namespace lbw::conv
