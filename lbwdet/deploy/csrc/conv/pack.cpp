#include "pack.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace lbw::conv {
namespace {

constexpr int kMaxWeight = 64;

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("convolution: ") + what);
}

void check(const Spec& s) {
  require(s.in_channels > 0 && s.out_channels > 0, "channels must be positive");
  require(s.kernel_h > 0 && s.kernel_w > 0, "kernel must be positive");
  require(s.stride_h > 0 && s.stride_w > 0, "stride must be positive");
  require(s.padding_h >= 0 && s.padding_w >= 0, "padding must not be negative");
  require(s.dilation_h > 0 && s.dilation_w > 0, "dilation must be positive");
  require(0 < s.maximum_in && s.maximum_in <= 255, "maximum_in must be 1 to 255");
  require(0 <= s.zero_in && s.zero_in <= s.maximum_in, "zero_in must be 0 to maximum_in");
  if (s.to_float) {
    require(!s.residual, "a float output takes no residual");
    return;
  }
  require(0 < s.maximum_out && s.maximum_out <= 255, "maximum_out must be 1 to 255");
  require(0 <= s.zero_out && s.zero_out <= s.maximum_out, "zero_out must be 0 to maximum_out");
  require(0 <= s.zero_residual && s.zero_residual <= 255, "zero_residual must be 0 to 255");
  require(std::isfinite(s.ratio), "ratio must be finite");
}

void check(const Spec& s, const int8_t* weight, const float* multiplier, const float* offset) {
  const std::size_t window = static_cast<std::size_t>(s.in_channels) * s.kernel_h * s.kernel_w;
  for (int o = 0; o < s.out_channels; ++o) {
    std::int64_t magnitude = 0;
    for (std::size_t i = 0; i < window; ++i) {
      const int w = std::abs(weight[o * window + i]);
      require(w <= kMaxWeight, "a weight is beyond 64");
      magnitude += w;
    }
    // Twice: the correction for the zero point and the sum of products may both be that large.
    require(2 * 255 * magnitude <= INT32_MAX, "the weights could overflow an int32 accumulator");
    require(std::isfinite(multiplier[o]) && std::fabs(multiplier[o]) < 1e25f &&
                std::isfinite(offset[o]) && std::fabs(offset[o]) < 1e25f,
            "a multiplier or offset is not finite, or is beyond 1e25");
  }
}

// The runs of a window: kernel rows, whose pixels are neighbours; single pixels if dilated.
bool whole_rows(const Spec& s) { return s.dilation_w == 1 || s.kernel_w == 1; }

// Adds up, over blocks of channels, quads whose int16 products stay in range: the largest
// count so that any that many consecutive quads of a lane do, whatever the input is.
int safe_quads(const std::vector<int8_t>& lane, int quads_per_run, int maximum) {
  const int quads = static_cast<int>(lane.size() / 4);
  int safe = quads_per_run;
  for (int half = 0; half < 2; ++half) {  // int16 sums of the first two, the last two of a quad
    std::vector<int> up(quads), down(quads);
    for (int q = 0; q < quads; ++q)
      for (int i = 0; i < 2; ++i) {
        const int w = lane[q * 4 + half * 2 + i];
        (w > 0 ? up : down)[q] += std::abs(w) * maximum;
      }
    // A window that is too long is shortened until every window of its length is in range;
    // windows start at multiples of their length within a run.
    while (safe > 1) {
      bool fits = true;
      for (int run = 0; fits && run < quads; run += quads_per_run)
        for (int begin = 0; fits && begin < quads_per_run; begin += safe) {
          int high = 0, low = 0;
          for (int q = begin; q < begin + safe && q < quads_per_run; ++q) {
            high += up[run + q];
            low += down[run + q];
          }
          fits = high <= 32767 && low <= 32768;
        }
      if (fits) break;
      --safe;
    }
  }
  return safe;
}

}  // namespace

Packed::Packed(const Spec& spec, const int8_t* weight, const float* multiplier,
               const float* offset, Isa isa, bool winograd)
    : layout_(std::make_unique<Layout>()) {
  check(spec);
  check(spec, weight, multiplier, offset);
  Layout& l = *layout_;
  l.spec = spec;
  l.kernel = &kernel_of(isa);
  if (winograd && l.kernel->winograd && winograd_fits(spec, weight, *l.kernel->winograd)) {
    l.winograd = std::make_unique<WinogradWeights>(
        winograd_pack(spec, weight, multiplier, offset, *l.kernel->winograd));
    return;
  }
  const int ci = spec.in_channels, co = spec.out_channels;
  const int kh = spec.kernel_h, kw = spec.kernel_w;
  const int pixels = whole_rows(spec) ? kw : 1;  // of a run
  l.run_count = kh * kw / pixels;
  l.quads = (pixels * ci + 3) / 4;
  l.width = l.kernel->lanes * l.kernel->vectors;
  l.blocks = (co + l.width - 1) / l.width;
  const int lanes = l.kernel->lanes;
  const int padded = (co + lanes - 1) / lanes * lanes;
  const std::size_t window = static_cast<std::size_t>(l.run_count) * l.quads * 4;
  l.weight_bytes = padded * window;
  l.weight.reset(static_cast<int8_t*>(::operator new[](l.weight_bytes, std::align_val_t(64))));
  l.start.assign(padded, 0);
  l.multiplier.assign(padded, 0);
  l.offset.assign(padded, 0);
  l.flush = l.quads;

  std::vector<int8_t> lane(window);  // one output channel as the kernel meets it
  for (int o = 0; o < padded; ++o) {
    std::memset(lane.data(), 0, lane.size());
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
      l.start[o] = static_cast<int32_t>((l.kernel->flip - spec.zero_in) * sum);
      l.multiplier[o] = multiplier[o];
      l.offset[o] = offset[o];
      const int safe = safe_quads(lane, l.quads, spec.maximum_in);
      if (safe < l.flush) l.flush = safe;
    }
    const int block = o / l.width;
    const int block_width = block + 1 < l.blocks ? l.width : padded - block * l.width;
    int8_t* target = l.weight.get() + l.block_begin(block) + (o - block * l.width) * 4;
    for (std::size_t q = 0; q < window / 4; ++q)
      std::memcpy(target + q * block_width * 4, lane.data() + q * 4, 4);
  }
}

Packed::~Packed() = default;
Packed::Packed(Packed&&) noexcept = default;
Packed& Packed::operator=(Packed&&) noexcept = default;
const Spec& Packed::spec() const { return layout_->spec; }
Isa Packed::isa() const { return layout_->kernel->isa; }
bool Packed::winograd() const { return layout_->winograd != nullptr; }
std::size_t Packed::bytes() const {
  const Layout& l = *layout_;
  if (l.winograd) return l.winograd->storage.size() * 2 + l.winograd->start.size() * 12;
  return l.weight_bytes + l.start.size() * 12;
}

}  // namespace lbw::conv
