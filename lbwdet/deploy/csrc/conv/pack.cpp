#include "pack.h"

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

// Lengths of the stretches of quads that can be summed in int16, in all lanes of a block and
// whatever the input is; a stretch ends with its run. `weight` is [run * quad][lanes][4].
std::vector<uint16_t> stretches(const int8_t* weight, int runs, int quads, int lanes,
                                int maximum) {
  std::vector<uint16_t> result;
  // Each lane has two sums: of the first two and of the last two products of its quads.
  std::vector<int> high(lanes * 2), low(lanes * 2), next_high(lanes * 2), next_low(lanes * 2);
  for (int run = 0; run < runs; ++run) {
    uint16_t length = 0;
    for (int quad = 0; quad < quads; ++quad) {
      if (length == 0) {
        std::fill(high.begin(), high.end(), 0);
        std::fill(low.begin(), low.end(), 0);
      }
      bool fits = length < UINT16_MAX;
      for (int sum = 0; sum < lanes * 2; ++sum) {
        int up = 0, down = 0;
        for (int i = 0; i < 2; ++i, ++weight) (*weight > 0 ? up : down) += *weight * maximum;
        next_high[sum] = high[sum] + up, next_low[sum] = low[sum] + down;
        fits = fits && next_high[sum] <= INT16_MAX && next_low[sum] >= INT16_MIN;
      }
      if (fits) {
        high.swap(next_high), low.swap(next_low);
        ++length;
        continue;
      }
      result.push_back(length);  // begin anew with this quad
      length = 0;
      --quad;
      weight -= lanes * 4;
    }
    result.push_back(length);
  }
  return result;
}

// Orders the quads of a block, of weights [quad][lanes][4], so that the first ones, two by two,
// have sums that fit int16 in all lanes; returns the number of pairs. `most`: how much the positive
// weights of a sum, or the negative ones, may be together.
int pair_quads(const int8_t* weight, int quads, int lanes, int most, int32_t* order) {
  constexpr std::size_t kOpen = 8;  // partners that are looked at
  const std::size_t sums = 4 * static_cast<std::size_t>(lanes);  // of two products each, up and down
  std::vector<uint8_t> reach(sums * quads);
  for (std::size_t i = 0; i < reach.size() / 2; ++i) {
    const int a = weight[2 * i], b = weight[2 * i + 1];
    reach[2 * i] = static_cast<uint8_t>(std::max(a, 0) + std::max(b, 0));
    reach[2 * i + 1] = static_cast<uint8_t>(std::max(-a, 0) + std::max(-b, 0));
  }
  const auto fit = [&](int one, int other) {
    const uint8_t *const a = &reach[one * sums], *const b = &reach[other * sums];
    int beyond = 0;
    for (std::size_t i = 0; i < sums; ++i) beyond |= a[i] + b[i] > most;
    return !beyond;
  };
  std::vector<int32_t> open, single;
  int pairs = 0;
  for (int quad = 0; quad < quads; ++quad) {
    const auto partner =
        std::find_if(open.begin(), open.end(), [&](int other) { return fit(other, quad); });
    if (partner != open.end()) {
      order[2 * pairs] = *partner, order[2 * pairs + 1] = quad;
      ++pairs;
      open.erase(partner);
      continue;
    }
    if (open.size() == kOpen) {
      single.push_back(open.front());
      open.erase(open.begin());
    }
    open.push_back(quad);
  }
  single.insert(single.end(), open.begin(), open.end());
  std::copy(single.begin(), single.end(), order + 2 * pairs);
  return pairs;
}

// What the reals of a channel that go into silu() allow, whatever the input is. It gives none that is
// larger.
Range range_of_silu(const Spec& s, const int8_t* weight, std::size_t window, float multiplier,
                    float offset, float factor) {
  const int above = std::max(s.maximum_in - s.zero_in, 0), below = s.zero_in;
  std::int64_t high = 0, low = 0;
  for (std::size_t i = 0; i < window; ++i) {
    const int w = weight[i];
    high += w > 0 ? w * above : -w * below;
    low += w > 0 ? w * below : -w * above;
  }
  const double largest =
      static_cast<double>(std::max(high, low)) * std::fabs(multiplier) + std::fabs(offset);
  if (!(largest * factor < 1 << 30)) return Range::any;
  return largest < 80 ? Range::words : Range::limits;
}

}  // namespace

Range checked_range(const Spec& s, std::size_t window, const int8_t* weight,
                    const float* multiplier, const float* offset, const float* factor) {
  Range range = s.ceil                                    ? Range::any
                : s.zero_out == 0 && s.maximum_out == 255 ? Range::bytes
                                                          : Range::words;
  for (int o = 0; o < s.out_channels; ++o) {
    std::int64_t magnitude = 0;
    for (std::size_t i = 0; i < window; ++i) {
      const int w = std::abs(weight[o * window + i]);
      require(w <= kMaxWeight, "a weight is beyond 64");
      magnitude += w;
    }
    // Of the accumulator at its end: until then sums are those of integers modulo 2**32.
    require(255 * magnitude <= INT32_MAX, "the weights could overflow an int32 accumulator");
    require(std::isfinite(multiplier[o]) && std::fabs(multiplier[o]) < 1e25f &&
                std::isfinite(offset[o]) && std::fabs(offset[o]) < 1e25f,
            "a multiplier or offset is not finite, or is beyond 1e25");
    const double largest = 255.0 * magnitude * std::fabs(multiplier[o]) + std::fabs(offset[o]) +
                           255.0 * std::fabs(s.ratio);
    if (largest > 1 << 30) range = Range::any;
    if (s.silu)
      range = std::max(range, range_of_silu(s, weight + o * window, window, multiplier[o],
                                            offset[o], factor[o]));
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
  require(!s.silu || !(s.to_float || s.residual || s.relu), "a function comes last, to bytes");
  if (s.to_float) {
    require(!s.residual, "a float output takes no residual");
    return;
  }
  require(0 < s.maximum_out && s.maximum_out <= 255, "maximum_out must be 1 to 255");
  require(0 <= s.zero_out && s.zero_out <= 255, "zero_out must be 0 to 255");
  require(0 <= s.zero_residual && s.zero_residual <= 255, "zero_residual must be 0 to 255");
  require(std::isfinite(s.ratio), "ratio must be finite");
}

int position_of(int channel, int lanes) {
  const int in_pair = channel % (2 * lanes);
  return channel - in_pair + in_pair / 4 % 2 * lanes + in_pair / 8 * 4 + in_pair % 4;
}

Packed::Packed(const Spec& spec, const int8_t* weight, const float* multiplier,
               const float* offset, const Isa& isa, bool winograd, WeightStore* store,
               const float* factor)
    : layout_(std::make_unique<Layout>()) {
  check(spec);
  require(spec.groups == 1, "a group is packed by itself");
  require(isa.supported(), (std::string("this CPU lacks ") + isa.name).c_str());
  Layout& l = *layout_;
  l.spec = spec;
  l.kernel = isa.kernel;
  if (spec.silu) {
    require(factor != nullptr, "a function needs factors");
    const int pair = 2 * l.kernel->lanes;
    l.factor.assign((spec.out_channels + pair - 1) / pair * pair, 0);
    for (int o = 0; o < spec.out_channels; ++o) {
      require(std::isfinite(factor[o]) && factor[o] > 0,
              "a factor is not positive and finite");
      l.factor[position_of(o, l.kernel->lanes)] = factor[o];
    }
  }
  const auto shared = [store](AlignedBytes bytes) {
    return store ? store->shared(std::move(bytes))
                 : std::make_shared<const AlignedBytes>(std::move(bytes));
  };
  l.range = checked_range(
      spec, static_cast<std::size_t>(spec.in_channels) * spec.kernel_h * spec.kernel_w, weight,
      multiplier, offset, factor);
  const WinogradKernel* other = l.kernel->winograd;
  if (winograd && other && !spec.among && winograd_fits(spec, weight, *other)) {
    AlignedBytes packed(winograd_weight_bytes(spec, *other));
    l.winograd = std::make_unique<WinogradWeights>(winograd_pack(
        spec, weight, multiplier, offset, *other, reinterpret_cast<int16_t*>(packed.data())));
    l.weight = shared(std::move(packed));
    l.winograd->begin = reinterpret_cast<const int16_t*>(l.weight->data());
    return;
  }
  const int ci = spec.in_channels, co = spec.out_channels;
  const int kh = spec.kernel_h, kw = spec.kernel_w;
  const int pixels = whole_rows(spec) ? kw : 1;  // of a run
  l.run_count = kh * kw / pixels;
  l.quads = (pixels * ci + 3) / 4;
  l.width = l.kernel->lanes * l.kernel->vectors;
  l.blocks = (co + l.width - 1) / l.width;
  const int group = l.kernel->lanes * (spec.to_float ? 1 : 2);
  const int padded = (co + group - 1) / group * group;
  const std::size_t window = static_cast<std::size_t>(l.run_count) * l.quads * 4;
  AlignedBytes packed(padded * window);
  l.start.assign(padded, 0);
  l.multiplier.assign(padded, 0);
  l.offset.assign(padded, 0);

  std::vector<int8_t> lane(window);  // one output channel as the kernel meets it
  for (int o = 0; o < padded; ++o) {
    std::memset(lane.data(), 0, lane.size());
    const int position = spec.to_float ? o : position_of(o, l.kernel->lanes);
    if (o < co) {
      std::int64_t sum = 0;
      for (int i = 0; i < ci; ++i)
        for (int ky = 0; ky < kh; ++ky)
          for (int kx = 0; kx < kw; ++kx) {
            const int w = weight[((static_cast<std::size_t>(o) * ci + i) * kh + ky) * kw + kx];
            const int run = (ky * kw + kx) / pixels, pixel = (ky * kw + kx) % pixels;
            lane[(static_cast<std::size_t>(run) * l.quads) * 4 + pixel * ci + i] = w;
            sum += w;
          }
      l.start[position] = static_cast<int32_t>((l.kernel->flip - spec.zero_in) * sum);
      l.multiplier[position] = multiplier[o];
      l.offset[position] = offset[o];
    }
    const int block = o / l.width;
    const int block_width = block + 1 < l.blocks ? l.width : padded - block * l.width;
    int8_t* target = packed.data() + l.block_begin(block) + (position - block * l.width) * 4;
    for (std::size_t q = 0; q < window / 4; ++q)
      std::memcpy(target + q * block_width * 4, lane.data() + q * 4, 4);
  }

  if (!l.kernel->narrow) {
    l.weight = shared(std::move(packed));
    return;
  }
  const int largest = std::max(spec.maximum_in, spec.zero_in);  // of the map, and of its border
  const int all = l.run_count * l.quads;
  std::size_t count = 0;
  const auto lanes_of = [&](int block) { return std::min(l.width, padded - block * l.width); };
  for (int block = 0; block < l.blocks; ++block) {
    l.stretches.push_back(stretches(packed.data() + l.block_begin(block), l.run_count, l.quads,
                                    lanes_of(block), largest));
    count += l.stretches.back().size();
  }
  // The number of quads, and the least time: that of stretches, of pairs, or of neither.
  const double quads = static_cast<double>(l.blocks) * all;
  double time = kSingle * quads;
  if (const double by_stretches = kInStretch * quads + kStretch * count; by_stretches < time)
    time = by_stretches;
  else
    l.stretches.clear();
  AlignedBytes reordered(packed.size());
  std::size_t paired = 0;
  l.quad_order.resize(static_cast<std::size_t>(l.blocks) * all);
  for (int block = 0; block < l.blocks; ++block) {
    const int8_t* const before = packed.data() + l.block_begin(block);
    int8_t* const after = reordered.data() + l.block_begin(block);
    int32_t* const order = &l.quad_order[static_cast<std::size_t>(block) * all];
    const std::size_t bytes = 4 * static_cast<std::size_t>(lanes_of(block));
    l.pairs.push_back(pair_quads(before, all, lanes_of(block), INT16_MAX / largest, order));
    paired += 2 * static_cast<std::size_t>(l.pairs.back());
    for (int i = 0; i < all; ++i) std::memcpy(after + i * bytes, before + order[i] * bytes, bytes);
  }
  if (kPaired * paired + kSingle * (quads - paired) < time) {
    l.stretches.clear();
    packed = std::move(reordered);
  } else {
    l.pairs.clear();
    l.quad_order.clear();
  }
  for (const std::vector<uint16_t>& block : l.stretches)
    l.stretches_of_block.push_back(block.data());
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
  return l.weight->size() + (l.winograd ? l.winograd->start.size() : l.start.size()) * 12;
}
std::size_t Packed::scratch_bytes(std::int64_t height, std::int64_t width) const {
  return layout_->winograd ? winograd_scratch_bytes(*layout_->winograd, height, width) : 0;
}

}  // namespace lbw::conv
