#include "pack.h"

#include "int16_sums.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace lbw::conv {
namespace {

constexpr int kMaxWeight = 64;
// Time of a quad whose products are widened at once, in pairs, and in a stretch; and of a stretch.
// Measured on Zen 3.
constexpr double kSingle = 1.0, kPaired = 0.85, kInStretch = 0.6, kStretch = 1.1;

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("convolution: ") + what);
}

// The runs of a window: kernel rows, whose pixels are neighbours; single pixels if they are not.
bool whole_rows(const Spec& s) { return (s.dilation_w == 1 && !s.among) || s.kernel_w == 1; }

// Sums of one channel.
ChannelSums sums_of(const int8_t* weight, std::size_t count) {
  constexpr std::size_t kChunk = 1 << 16;  // whose sums fit int32
  std::int64_t sum = 0, magnitude = 0;
  int largest = 0;
  for (std::size_t begin = 0; begin < count; begin += kChunk) {
    const int8_t* const w = weight + begin;
    const auto some = static_cast<int>(std::min(kChunk, count - begin));
    int plain = 0, absolute = 0;
    for (int i = 0; i < some; ++i) {
      plain += w[i];
      absolute += std::abs(w[i]);
      largest = std::max(largest, std::abs(w[i]));
    }
    sum += plain, magnitude += absolute;
  }
  return {(magnitude + sum) / 2, (magnitude - sum) / 2, largest};
}

// What the reals of a channel that go into silu() allow, whatever the input is. It gives none that is
// larger.
Range range_of_silu(const Spec& s, const ChannelSums& sums, const ChannelNumbers& numbers,
                    std::int64_t channel) {
  const int above = std::max(s.maximum_in - s.zero_in, 0), below = s.zero_in;
  const std::int64_t high = sums.up * above + sums.down * below;
  const std::int64_t low = sums.up * below + sums.down * above;
  const double largest =
      static_cast<double>(std::max(high, low)) * std::fabs(numbers.multiplier[channel]) +
      std::fabs(numbers.offset[channel]);
  const double added = s.residual ? 255.0 * numbers.ratio[channel] : 0;
  if (!(largest * numbers.factor[channel] + added < 1 << 30)) return Range::any;
  return largest < 80 ? Range::words : Range::limits;
}

// One channel of a weight as the kernel meets it: [run][quad][4].
void order_window(const Layout& l, const int8_t* weight, int8_t* lane) {
  const int ci = l.spec.in_channels, taps = l.spec.kernel_h * l.spec.kernel_w;
  const int pixels = taps / l.run_count;  // of a run
  const std::size_t run_bytes = static_cast<std::size_t>(l.quads) * 4;
  for (int run = 0; run < l.run_count; ++run) {
    int8_t* const to = lane + run * run_bytes;
    for (int pixel = 0; pixel < pixels; ++pixel) {
      const int8_t* const from = weight + run * pixels + pixel;
      for (int i = 0; i < ci; ++i) to[pixel * ci + i] = from[static_cast<std::size_t>(i) * taps];
    }
    std::memset(to + pixels * ci, 0, run_bytes - static_cast<std::size_t>(pixels) * ci);
  }
}

// Numbers of four bytes from [lane][quad] to [quad][lane].
void interleave(const int8_t* from, std::size_t quads, std::size_t lanes, int8_t* to) {
  constexpr std::size_t kTile = 16;  // quads: a line of the cache
  for (std::size_t begin = 0; begin < quads; begin += kTile) {
    const std::size_t end = std::min(begin + kTile, quads);
    for (std::size_t lane = 0; lane < lanes; ++lane)
      for (std::size_t quad = begin; quad < end; ++quad)
        std::memcpy(to + (quad * lanes + lane) * 4, from + (lane * quads + quad) * 4, 4);
  }
}

// What each block allows a kernel that sums in int16; of all, what takes the least time stays in
// the layout, and weights are put in the order of pairs if these do.
void choose_sums(Layout& l, int8_t* packed, int padded, const Parallel& parallel) {
  const int most = INT16_MAX / std::max(l.spec.maximum_in, l.spec.zero_in);  // border, too
  const int all = l.run_count * l.quads;
  const auto lanes_of = [&](int block) { return std::min(l.width, padded - block * l.width); };
  l.stretches.resize(l.blocks);
  l.pairs.resize(l.blocks);
  l.quad_order.resize(static_cast<std::size_t>(l.blocks) * all);
  const auto order_of = [&](std::int64_t block) { return &l.quad_order[block * all]; };
  parallel(l.blocks, [&](std::int64_t block) {
    const QuadReach reach(packed + l.block_begin(block), all, lanes_of(block));
    l.stretches[block] = reach.stretches(l.run_count, most);
    l.pairs[block] = reach.pair(most, order_of(block));
  });
  // The number of quads, and the least time: that of stretches, of pairs, or of neither.
  std::size_t count = 0, paired = 0;
  for (const auto& block : l.stretches) count += block.size();
  for (const int pairs : l.pairs) paired += 2 * static_cast<std::size_t>(pairs);
  const double quads = static_cast<double>(l.blocks) * all;
  double time = kSingle * quads;
  if (const double by_stretches = kInStretch * quads + kStretch * count; by_stretches < time)
    time = by_stretches;
  else
    l.stretches.clear();
  if (kPaired * paired + kSingle * (quads - paired) < time) {
    l.stretches.clear();
    parallel(l.blocks, [&](std::int64_t block) {
      const std::size_t bytes = 4 * static_cast<std::size_t>(lanes_of(block));
      int8_t* const weight = packed + l.block_begin(block);
      const std::vector<int8_t> before(weight, weight + bytes * all);
      const int32_t* const order = order_of(block);
      for (int i = 0; i < all; ++i)
        std::memcpy(weight + i * bytes, before.data() + order[i] * bytes, bytes);
    });
  } else {
    l.pairs.clear();
    l.quad_order.clear();
    l.quad_order.shrink_to_fit();
  }
  for (const std::vector<uint16_t>& block : l.stretches)
    l.stretches_of_block.push_back(block.data());
}

}  // namespace

const int8_t* Weight::channel(std::int64_t o, std::size_t window, int8_t* buffer) const {
  const int8_t* const given = codes + o * window;
  if (!tables) return given;
  const int8_t* const table = tables + 256 * static_cast<std::size_t>(table_of[o]);
  for (std::size_t i = 0; i < window; ++i) buffer[i] = table[static_cast<uint8_t>(given[i])];
  return buffer;
}

std::vector<ChannelSums> channel_sums(const Spec& spec, const Weight& weight,
                                      const Parallel& parallel) {
  const std::size_t window = window_of(spec);
  std::vector<ChannelSums> sums(spec.out_channels);
  parallel(spec.out_channels, [&](std::int64_t o) {
    std::vector<int8_t> buffer(window);
    sums[o] = sums_of(weight.channel(o, window, buffer.data()), window);
  });
  return sums;
}

Range checked_range(const Spec& s, const std::vector<ChannelSums>& sums,
                    const ChannelNumbers& numbers) {
  require(!s.silu || numbers.factor, "a function needs factors");
  require(!s.residual || numbers.ratio, "a residual needs ratios");
  Range range = s.ceil                                    ? Range::any
                : s.zero_out == 0 && s.maximum_out == 255 ? Range::bytes
                                                          : Range::words;
  const auto below = [](float number, float limit) {
    return std::isfinite(number) && std::fabs(number) < limit;
  };
  for (int o = 0; o < s.out_channels; ++o) {
    const std::int64_t magnitude = sums[o].up + sums[o].down;
    require(sums[o].largest <= kMaxWeight, "a weight is beyond 64");
    // Of the accumulator at its end: until then sums are those of integers modulo 2**32.
    require(255 * magnitude <= INT32_MAX, "the weights could overflow an int32 accumulator");
    const float multiplier = numbers.multiplier[o], offset = numbers.offset[o];
    require(below(multiplier, 1e25f) && below(offset, 1e25f),
            "a multiplier or offset is not finite, or is beyond 1e25");
    require(!s.silu || (std::isfinite(numbers.factor[o]) && numbers.factor[o] > 0),
            "a factor is not positive and finite");
    require(!s.residual || (below(numbers.ratio[o], 1e25f) && numbers.ratio[o] >= 0),
            "a ratio is negative, not finite, or beyond 1e25");
    const double largest = 255.0 * magnitude * std::fabs(multiplier) + std::fabs(offset) +
                           (s.residual ? 255.0 * numbers.ratio[o] : 0);
    if (largest > 1 << 30) range = Range::any;
    if (s.silu) range = std::max(range, range_of_silu(s, sums[o], numbers, o));
  }
  return range;
}

void check(const Spec& s) {
  require(s.in_channels > 0 && s.out_channels > 0, "channels must be positive");
  require(s.kernel_h > 0 && s.kernel_w > 0, "kernel must be positive");
  require(s.stride_h > 0 && s.stride_w > 0, "stride must be positive");
  require(s.padding_h >= 0 && s.padding_w >= 0, "padding must not be negative");
  require(s.dilation_h > 0 && s.dilation_w > 0, "dilation must be positive");
  // Counted in int, everywhere.
  require(s.out_channels <= 1 << 30 &&
              1.0 * s.in_channels * s.kernel_h * s.kernel_w <= 1 << 29,
          "the weight is too large");
  require(0 < s.maximum_in && s.maximum_in <= 255, "maximum_in must be 1 to 255");
  require(0 <= s.zero_in && s.zero_in <= 255, "zero_in must be 0 to 255");
  require(!s.silu || !(s.to_float || s.relu), "a function goes to bytes, without ReLU");
  if (s.to_float) {
    require(!s.residual, "a float output takes no residual");
    return;
  }
  require(0 < s.maximum_out && s.maximum_out <= 255, "maximum_out must be 1 to 255");
  require(0 <= s.zero_out && s.zero_out <= 255, "zero_out must be 0 to 255");
  require(0 <= s.zero_residual && s.zero_residual <= 255, "zero_residual must be 0 to 255");
}

void one_by_one(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  for (std::int64_t i = 0; i < count; ++i) work(i);
}

int position_of(int channel, int lanes) {
  const int in_pair = channel % (2 * lanes);
  return channel - in_pair + in_pair / 4 % 2 * lanes + in_pair / 8 * 4 + in_pair % 4;
}

Packed::Packed(const Spec& spec, const Weight& weight, const ChannelNumbers& numbers,
               const Isa& isa, bool winograd, WeightStore* store, const Parallel& parallel)
    : layout_(std::make_unique<Layout>()) {
  check(spec);
  require(spec.groups == 1, "a group is packed by itself");
  require(isa.supported(), (std::string("this CPU lacks ") + isa.name).c_str());
  Layout& l = *layout_;
  l.spec = spec;
  l.kernel = isa.kernel;
  const auto shared = [store](AlignedBytes bytes) {
    return store ? store->shared(std::move(bytes))
                 : std::make_shared<const AlignedBytes>(std::move(bytes));
  };
  const std::vector<ChannelSums> sums = channel_sums(spec, weight, parallel);
  l.range = checked_range(spec, sums, numbers);
  const WinogradKernel* other = l.kernel->winograd;
  const bool by_winograd = winograd && other && !spec.among && winograd_fits(spec, sums, *other);
  const int co = spec.out_channels;
  const int group = l.kernel->lanes * (spec.to_float || (l.kernel->single && !by_winograd) ? 1 : 2);
  const int padded = (co + group - 1) / group * group;
  const auto position = [&](int o) {
    const bool alone = padded / l.kernel->lanes % 2 && o >= padded - l.kernel->lanes;
    return spec.to_float || alone ? o : position_of(o, l.kernel->lanes);
  };
  const auto by_lane = [&](const float* of_channels) {
    std::vector<float> lanes(padded, 0.0f);
    for (int o = 0; o < co; ++o) lanes[position(o)] = of_channels[o];
    return lanes;
  };
  if (spec.silu) l.factor = by_lane(numbers.factor);
  if (spec.residual) l.ratio = by_lane(numbers.ratio);
  if (by_winograd) {
    AlignedBytes packed(winograd_weight_bytes(spec, *other));
    l.winograd = std::make_unique<WinogradWeights>(
        winograd_pack(spec, weight, sums, numbers, *other,
                      reinterpret_cast<int16_t*>(packed.data()), parallel));
    l.weight = shared(std::move(packed));
    l.winograd->begin = reinterpret_cast<const int16_t*>(l.weight->data());
    return;
  }
  const int pixels = whole_rows(spec) ? spec.kernel_w : 1;  // of a run
  l.run_count = spec.kernel_h * spec.kernel_w / pixels;
  l.quads = (pixels * spec.in_channels + 3) / 4;
  l.width = l.kernel->lanes * l.kernel->vectors;
  l.blocks = (co + l.width - 1) / l.width;
  l.start.assign(padded, 0);
  l.multiplier.assign(padded, 0);
  l.offset.assign(padded, 0);
  for (int o = 0; o < co; ++o) {
    const int at = position(o);
    l.start[at] =
        static_cast<int32_t>((l.kernel->flip - spec.zero_in) * (sums[o].up - sums[o].down));
    l.multiplier[at] = numbers.multiplier[o];
    l.offset[at] = numbers.offset[o];
  }
  const std::size_t all = static_cast<std::size_t>(l.run_count) * l.quads;
  const std::size_t window = window_of(spec);
  AlignedBytes packed(padded * all * 4);
  parallel(l.blocks, [&](std::int64_t block) {
    const int first = static_cast<int>(block) * l.width;
    const int width = std::min(l.width, padded - first);
    std::vector<int8_t> lanes(width * all * 4), buffer(window);
    for (int o = first; o < std::min(first + width, co); ++o)
      order_window(l, weight.channel(o, window, buffer.data()),
                   lanes.data() + (position(o) - first) * all * 4);
    interleave(lanes.data(), all, width, packed.data() + l.block_begin(block));
  });
  if (l.kernel->narrow) choose_sums(l, packed.data(), padded, parallel);
  l.weight = shared(std::move(packed));
}

Packed::~Packed() = default;
Packed::Packed(Packed&&) noexcept = default;
Packed& Packed::operator=(Packed&&) noexcept = default;
const Spec& Packed::spec() const { return layout_->spec; }
bool Packed::winograd() const { return layout_->winograd != nullptr; }
const int8_t* Packed::weight() const { return layout_->weight->data(); }
std::size_t Packed::bytes() const {
  const Layout& l = *layout_;
  return l.weight->size() + (l.winograd ? l.winograd->start.size() : l.start.size()) * 12 +
         (l.factor.size() + l.ratio.size()) * 4;
}
std::size_t Packed::scratch_bytes(std::int64_t height, std::int64_t width) const {
  return layout_->winograd ? winograd_scratch_bytes(*layout_->winograd, height, width) : 0;
}

}  // namespace lbw::conv
