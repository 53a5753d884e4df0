#include "winograd.h"

#include <algorithm>

#include "pack.h"

namespace lbw::conv {
namespace {

constexpr int kG[6][3] = {{1, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 1}};
// Weights are eight times as large here. Where they are more than this many numbers per product,
// reading them takes longer than multiplying with them, for maps of the size such layers have.
constexpr int kMostChannelPairs = 1 << 18;
constexpr std::size_t kScratchBytes = 600 << 10;
constexpr int kMinimumTiles = 14, kMaximumTiles = 112;

int rounded_up(int value, int step) { return (value + step - 1) / step * step; }

WinogradScratch scratch_steps(const WinogradWeights& weights, int tiles) {
  WinogradScratch scratch{};
  // The kernel transforms whole vectors of channels, some of which may not exist. The odd steps
  // keep the 36 products of a tile from falling into the same few sets of the cache.
  scratch.v_tile = rounded_up(weights.pairs * 2, weights.width);
  scratch.v_step = scratch.v_tile * tiles + 96;
  scratch.m_step = static_cast<std::ptrdiff_t>(weights.width) * tiles + 16;
  return scratch;
}

}  // namespace

bool winograd_fits(const Spec& s, const std::vector<ChannelSums>& sums,
                   const WinogradKernel& kernel) {
  const int minimum = 4 * kernel.lanes;  // channels; fewer: the transforms outweigh the products
  if (s.kernel_h != 3 || s.kernel_w != 3 || s.stride_h != 1 || s.stride_w != 1 ||
      s.padding_h != 1 || s.padding_w != 1 || s.dilation_h != 1 || s.dilation_w != 1 ||
      s.to_float || s.in_channels < minimum || s.out_channels < minimum ||
      static_cast<std::int64_t>(s.in_channels) * s.out_channels > kMostChannelPairs)
    return false;
  const int largest = std::max(s.maximum_in, s.zero_in);  // of the map, and of its border
  return std::all_of(sums.begin(), sums.end(), [&](const ChannelSums& channel) {
    return channel.up * largest < (1 << 25) && channel.down * largest <= (1 << 25);
  });
}

std::size_t winograd_weight_bytes(const Spec& s, const WinogradKernel& kernel) {
  const int width = 2 * kernel.lanes;
  const std::size_t blocks = (s.out_channels + width - 1) / width, pairs = (s.in_channels + 1) / 2;
  return blocks * 36 * pairs * width * 2 * sizeof(int16_t);
}

WinogradWeights winograd_pack(const Spec& s, const Weight& weight,
                              const std::vector<ChannelSums>& sums,
                              const ChannelNumbers& numbers, const WinogradKernel& kernel,
                              int16_t* target, const Parallel& parallel) {
  WinogradWeights result;
  const int ci = s.in_channels, co = s.out_channels, width = 2 * kernel.lanes;
  result.width = width;
  result.blocks = (co + width - 1) / width;
  result.pairs = (ci + 1) / 2;
  const std::size_t product = static_cast<std::size_t>(result.pairs) * width * 2;
  result.block_size = 36 * product;
  result.begin = target;
  const int padded = result.blocks * width;
  result.start.assign(padded, 0);
  result.multiplier.assign(padded, 0);
  result.offset.assign(padded, 0);
  for (int o = 0; o < co; ++o) {
    const int position = position_of(o, kernel.lanes);
    result.start[position] = static_cast<int32_t>(-s.zero_in * (sums[o].up - sums[o].down));
    result.multiplier[position] = numbers.multiplier[o];
    result.offset[position] = numbers.offset[o];
  }
  parallel(result.blocks, [&](std::int64_t block) {
    const int first = static_cast<int>(block) * width, count = std::min(width, co - first);
    const std::size_t window = window_of(s);
    std::vector<int8_t> buffer(count * window);
    std::vector<const int8_t*> channels;
    for (int o = 0; o < count; ++o)
      channels.push_back(weight.channel(first + o, window, buffer.data() + o * window));
    // A pair of input channels for all lanes of a block at a time: long loops over neighbours.
    constexpr int kWidest = 2 * 2 * 16;
    int16_t w[9][kWidest], rows[6][3][kWidest];
    const int row = 2 * width;
    for (int pair = 0; pair < result.pairs; ++pair) {
      for (int o = 0; o < width; ++o)
        for (int half = 0; half < 2; ++half) {
          const int c = pair * 2 + half, lane = position_of(o, kernel.lanes) * 2 + half;
          const bool exists = o < count && c < ci;
          for (int i = 0; i < 9; ++i)
            w[i][lane] = exists ? channels[o][static_cast<std::size_t>(c) * 9 + i] : 0;
        }
      for (int i = 0; i < 6; ++i)
        for (int b = 0; b < 3; ++b)
          for (int n = 0; n < row; ++n)
            rows[i][b][n] = static_cast<int16_t>(kG[i][0] * w[b][n] + kG[i][1] * w[3 + b][n] +
                                                 kG[i][2] * w[6 + b][n]);
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 6; ++j) {
          int16_t* to = target + block * result.block_size + (i * 6 + j) * product +
                        static_cast<std::size_t>(pair) * row;
          for (int n = 0; n < row; ++n)
            to[n] = static_cast<int16_t>(kG[j][0] * rows[i][0][n] + kG[j][1] * rows[i][1][n] +
                                         kG[j][2] * rows[i][2][n]);
        }
    }
  });
  return result;
}

int winograd_tiles_per_unit(const WinogradWeights& weights) {
  const std::size_t bytes = static_cast<std::size_t>(36) * weights.pairs * 4;
  const int tiles = static_cast<int>(kScratchBytes / bytes);
  return std::clamp(tiles / 14 * 14, kMinimumTiles, kMaximumTiles);
}

WinogradScratch winograd_scratch(const WinogradWeights& weights, int tiles, void* memory) {
  WinogradScratch scratch = scratch_steps(weights, tiles);
  scratch.v = static_cast<int16_t*>(memory);
  scratch.m = reinterpret_cast<int32_t*>(scratch.v + 36 * scratch.v_step);
  return scratch;
}

std::size_t winograd_scratch_bytes(const WinogradWeights& weights, std::int64_t height,
                                   std::int64_t width) {
  const std::int64_t tiles = ((height + 3) / 4) * ((width + 3) / 4);
  const WinogradScratch scratch = scratch_steps(
      weights, static_cast<int>(std::min<std::int64_t>(tiles, winograd_tiles_per_unit(weights))));
  return 36 * (scratch.v_step * sizeof(int16_t) + scratch.m_step * sizeof(int32_t));
}

}  // namespace lbw::conv
