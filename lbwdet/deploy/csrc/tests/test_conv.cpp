// Every kernel against the definition of a convolution, computed here the slow way.
//
//   test_conv [--reduced] [--isa NAME] < layers
//
// Lines of standard input are layers to test beside the built-in sweeps:
// in_channels out_channels kernel stride padding. Exit status 1 if anything differs.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../conv/conv.h"
#include "../conv/pack.h"
#include "../conv/weight_store.h"

using namespace lbw::conv;
using lbw::Isa;

namespace {

int failures = 0;
long checks = 0;
std::vector<const lbw::Isa*> isas;

void fail(const std::string& what) {
  if (++failures <= 20) std::printf("FAILED: %s\n", what.c_str());
}

uint64_t state = 88172645463325252u;
int random_int(int low, int high) {  // both included
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return low + static_cast<int>((state >> 11) % static_cast<uint64_t>(high - low + 1));
}

constexpr uint8_t kGuard = 0xA5;
constexpr int kGuardBytes = 64;

// A map in a buffer of exactly the promised size, between guard bytes.
struct Owned {
  std::vector<uint8_t> bytes;
  Map map;

  Owned(int n, int h, int w, int c, int border, uint8_t fill, int misalign = 0) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(w + 2 * border) * c;
    const std::ptrdiff_t image = row * (h + 2 * border);
    bytes.assign(2 * kGuardBytes + misalign + image * n + kSlack, kGuard);
    uint8_t* begin = bytes.data() + kGuardBytes + misalign;
    std::memset(begin, fill, image * n);
    map = {begin + border * row + border * c, n, h, w, c, row, image, border};
  }
  uint8_t& at(int n, int y, int x, int c) {
    return map.data[n * map.image_stride + y * map.row_stride + x * map.c + c];
  }
  uint8_t inside(int n, int y, int x, int c, uint8_t zero) {
    return y < 0 || x < 0 || y >= map.h || x >= map.w ? zero : at(n, y, x, c);
  }
  void randomize(int maximum) {
    for (int n = 0; n < map.n; ++n)
      for (int y = 0; y < map.h; ++y)
        for (int i = 0; i < map.w * map.c; ++i) at(n, y, 0, i) = random_int(0, maximum);
  }
};

struct Case {
  Spec spec{};
  int n = 1, h = 1, w = 1;
  int threads = 1, misalign = 0, extra_border = 0;
  int weights = 64;           // largest magnitude
  int fill_x = -1, fill_w = 0;  // constant inputs, weights: if >= 0, if not 0
  bool adversary = false;     // inputs that drive the sums of channel 0 as high as they go
  float factor = 1;           // of all multipliers
  int residual_h = 0, residual_w = 0;

  std::string text(const Isa& isa) const {
    std::ostringstream out;
    const Spec& s = spec;
    out << isa.name << " n,h,w=" << n << ',' << h << ',' << w << " ci,co=" << s.in_channels
        << ',' << s.out_channels << " k=" << s.kernel_h << 'x' << s.kernel_w
        << " s=" << s.stride_h << ',' << s.stride_w << " p=" << s.padding_h << ','
        << s.padding_w << " d=" << s.dilation_h << ',' << s.dilation_w << " relu=" << s.relu
        << " float=" << s.to_float << " ceil=" << s.ceil << " z=" << s.zero_in << ','
        << s.zero_out << ',' << s.zero_residual << " max=" << s.maximum_in << ','
        << s.maximum_out << " silu=" << s.silu << " residual=" << s.residual
        << " upsample=" << s.upsample
        << " threads=" << threads << " misalign=" << misalign;
    return out.str();
  }
};

// The function of runtime/arithmetic/silu.py.
float silu_of(float t) {
  const float y = std::max(std::min(t, 87.0f), -87.0f) * -1.4426950408889634f;
  const float n = std::nearbyint(y), f = y - n;
  float p = 0.05517167f;
  for (const float coefficient : {0.24261112f, 0.693261f, 0.9999281f}) {
    const float product = p * f;
    p = product + coefficient;
  }
  return t / (std::ldexp(p, static_cast<int>(n)) + 1.0f);
}

std::vector<float> expected(const Case& c, Owned& in, const std::vector<int8_t>& weight,
                            const ChannelNumbers& numbers, Owned* residual) {
  const Spec& s = c.spec;
  const int oh = output_height(s, c.h), ow = output_width(s, c.w);
  std::vector<float> result;
  for (int n = 0; n < c.n; ++n)
    for (int y = 0; y < oh; ++y)
      for (int x = 0; x < ow; ++x)
        for (int o = 0; o < s.out_channels; ++o) {
          long acc = 0;
          for (int ky = 0; ky < s.kernel_h; ++ky)
            for (int kx = 0; kx < s.kernel_w; ++kx)
              for (int i = 0; i < s.in_channels; ++i) {
                const int q = in.inside(n, y * s.stride_h - s.padding_h + ky * s.dilation_h,
                                        x * s.stride_w - s.padding_w + kx * s.dilation_w, i,
                                        s.zero_in);
                acc += (q - s.zero_in) *
                       weight[((o * s.in_channels + i) * s.kernel_h + ky) * s.kernel_w + kx];
              }
          float t = static_cast<float>(acc) * numbers.multiplier[o];
          t = t + numbers.offset[o];
          if (s.to_float) {
            result.push_back(s.relu ? std::max(t, 0.0f) : t);
            continue;
          }
          if (s.silu) t = silu_of(t) * numbers.factor[o];
          if (residual) {
            const int q = residual->at(n, y * residual->map.h / oh, x * residual->map.w / ow, o);
            const float r = static_cast<float>(q - s.zero_residual) * numbers.ratio[o];
            t = t + r;
          }
          const double rounded = s.ceil ? std::ceil(static_cast<double>(t))
                                        : std::nearbyint(static_cast<double>(t));
          const double low = s.relu ? s.zero_out : 0;
          result.push_back(static_cast<float>(
              std::min(std::max(rounded + s.zero_out, low), double(s.maximum_out))));
        }
  return result;
}

// Of exactly the promised size, so that a sanitizer sees what goes beyond.
std::unique_ptr<uint8_t, void (*)(void*)> scratch_of(const Packed& packed, int height, int width) {
  constexpr std::align_val_t alignment{64};
  void* const begin = ::operator new(packed.scratch_bytes(height, width), alignment);
  return {static_cast<uint8_t*>(begin), [](void* p) { ::operator delete(p, alignment); }};
}

void run_plan(const Plan& plan, const Packed& packed, int height, int width, int threads) {
  std::vector<std::thread> pool;  // units dealt out backwards, one by one
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      const auto scratch = scratch_of(packed, height, width);
      for (std::int64_t unit = plan.units() - 1 - t; unit >= 0; unit -= threads)
        plan.run(unit, unit + 1, scratch.get());
    });
  for (std::thread& thread : pool) thread.join();
}

void check(const Case& c) {
  const Spec& s = c.spec;
  const int oh = output_height(s, c.h), ow = output_width(s, c.w);
  if (oh < 1 || ow < 1) return;
  const int border = needed_border(s, c.h, c.w) + c.extra_border;
  Owned in(c.n, c.h, c.w, s.in_channels, border, s.zero_in, c.misalign);
  if (c.fill_x >= 0)
    for (int n = 0; n < c.n; ++n)
      for (int y = 0; y < c.h; ++y) std::memset(&in.at(n, y, 0, 0), c.fill_x, c.w * s.in_channels);
  else
    in.randomize(s.maximum_in);
  std::vector<int8_t> weight(static_cast<std::size_t>(s.out_channels) * s.in_channels *
                             s.kernel_h * s.kernel_w);
  for (int8_t& w : weight) w = c.fill_w ? c.fill_w : random_int(-c.weights, c.weights);
  if (c.adversary) {  // 1x1 kernels: weight[i] belongs to input channel i
    for (int y = 0; y < c.h; ++y)
      for (int i = 0; i < c.w * s.in_channels; ++i)
        in.at(0, y, 0, i) = weight[i % s.in_channels] > 0 ? 255 : 0;
  }
  const float spread = 3.0f * c.weights * s.maximum_in / std::max(s.maximum_out, 1) *
                       std::sqrt(float(s.in_channels * s.kernel_h * s.kernel_w)) / 4;
  std::vector<float> multiplier, offset, factor, ratio;
  for (int o = 0; o < s.out_channels; ++o) {
    const float sign = random_int(0, 9) ? 1.0f : -1.0f;  // batch norm may flip a channel
    // Some are powers of two, for ties in rounding.
    multiplier.push_back(random_int(0, 3) ? sign * random_int(1, 1000) / (500 * spread)
                                          : sign * std::ldexp(1.0f, -random_int(1, 12)));
    multiplier.back() *= c.factor;
    offset.push_back(random_int(0, 3) ? random_int(-4000, 4000) / 37.0f
                                      : random_int(-200, 200) / 2.0f);
    factor.push_back(random_int(1, 3000) / 1000.0f);
    ratio.push_back(random_int(1, 3000) / 1000.0f);
  }
  const ChannelNumbers numbers{multiplier.data(), offset.data(), factor.data(), ratio.data()};
  Owned residual(c.n, c.residual_h ? c.residual_h : oh, c.residual_w ? c.residual_w : ow,
                 s.out_channels, random_int(0, 1), 77, c.misalign);
  residual.randomize(255);
  const std::vector<float> want =
      expected(c, in, weight, numbers, s.residual ? &residual : nullptr);
  const std::vector<uint8_t> in_before = in.bytes, residual_before = residual.bytes;

  for (const Isa* each : isas) {
    const Isa& isa = *each;
    ++checks;
    try {
      const Packed packed(s, weight.data(), numbers, isa);
      if (s.to_float) {
        std::vector<float> got(want.size() + 32, -12345.5f);
        const FloatMap out{got.data() + 16, c.n, oh, ow, s.out_channels, ow * s.out_channels,
                           oh * ow * s.out_channels};
        const Plan plan(packed, in.map, out, c.threads);
        run_plan(plan, packed, oh, ow, c.threads);
        if (std::memcmp(got.data() + 16, want.data(), want.size() * sizeof(float)))
          fail(c.text(isa) + ": values");
        for (int i = 0; i < 16; ++i)
          if (got[i] != -12345.5f || got[got.size() - 1 - i] != -12345.5f)
            fail(c.text(isa) + ": guard");
      } else {
        Owned out(c.n, oh, ow, s.out_channels, c.extra_border, 99, c.misalign);
        std::vector<uint8_t> before = out.bytes;
        const Plan plan(packed, in.map, out.map, s.residual ? &residual.map : nullptr, c.threads);
        run_plan(plan, packed, oh, ow, c.threads);
        std::size_t index = 0;
        bool same = true;
        for (int n = 0; n < c.n; ++n)
          for (int y = 0; y < oh; ++y)
            for (int i = 0; i < ow * s.out_channels; ++i) {
              uint8_t& value = out.at(n, y, 0, i);
              same = same && value == want[index++];
              value = before[&value - out.bytes.data()];
            }
        if (!same) fail(c.text(isa) + ": values");
        if (out.bytes != before) fail(c.text(isa) + ": border or guard of the output");
      }
    } catch (const std::exception& error) {
      fail(c.text(isa) + ": " + error.what());
    }
    if (in.bytes != in_before || residual.bytes != residual_before)
      fail(c.text(isa) + ": an input was changed");
  }
}

Case layer(int ci, int co, int kernel, int stride, int padding, int h, int w) {
  Case c;
  c.spec.in_channels = ci, c.spec.out_channels = co;
  c.spec.kernel_h = c.spec.kernel_w = kernel;
  c.spec.stride_h = c.spec.stride_w = stride;
  c.spec.padding_h = c.spec.padding_w = padding;
  c.h = h, c.w = w;
  return c;
}

// Everything that follows the sums, in turn by `kind`.
void vary(Case& c, int kind) {
  Spec& s = c.spec;
  s.relu = kind & 1;
  s.zero_in = kind % 3 == 0 ? 0 : random_int(1, 255);
  c.extra_border = kind % 2;
  c.misalign = kind % 5;
  if (kind % 7 == 6) {
    s.to_float = true;
    return;
  }
  s.zero_out = kind % 3 == 1 ? 0 : random_int(1, 255);
  s.ceil = kind % 4 == 3;
  s.silu = kind % 3 == 2;
  if (s.silu) s.relu = false;
  if (kind % 11 == 10) {
    s.maximum_in = s.maximum_out = 15;
    s.zero_in %= 16, s.zero_out %= 16;
  }
  if (kind % 5 >= 3) {
    s.residual = true;
    s.zero_residual = kind % 2 ? 0 : random_int(0, 255);
  }
  if (kind % 5 == 4) {
    s.upsample = true;
    c.residual_h = random_int(1, static_cast<int>(output_height(s, c.h)) + 2);
    c.residual_w = random_int(1, static_cast<int>(output_width(s, c.w)) + 2);
  }
}

void sweep_sizes(bool reduced) {
  int kind = 0;
  const std::vector<int> primes = {37, 41, 53};
  for (int m = 1; m <= 29 + 3; ++m)
    for (int co = 1; co <= 65; co += reduced ? 8 : 1)
      for (int ci : {1, 2, 3, 4, 5, 7, 8, 9, 13, 17}) {
        if (reduced && (m + co + ci) % 4) continue;
        Case c = layer(ci, co, 1, 1, 0, 2, m > 29 ? primes[m - 30] : m);
        vary(c, kind++);
        check(c);
      }
}

void sweep_windows(bool reduced) {
  int kind = 0;
  for (int kh : {1, 2, 3, 5, 7})
    for (int kw : {1, 3, 4, 7})
      for (int stride : {1, 2, 3})
        for (int dilation : {1, 2})
          for (int padding = 0; padding <= 3; ++padding)
            for (int ci : {1, 3, 4, 6}) {
              if (reduced && (kind + ci) % 5) {
                ++kind;
                continue;
              }
              Case c = layer(ci, random_int(1, 40), 1, 1, 0, random_int(1, 15), random_int(1, 35));
              c.n = random_int(1, 2);
              Spec& s = c.spec;
              s.kernel_h = kh, s.kernel_w = kw;
              s.stride_h = stride, s.stride_w = (kind % 3) ? stride : 1;
              s.dilation_h = dilation, s.dilation_w = (kind % 4) ? dilation : 3 - dilation;
              s.padding_h = padding, s.padding_w = (kind % 5) ? padding : 1;
              if (c.h + 2 * s.padding_h <= s.dilation_h * (kh - 1)) c.h = s.dilation_h * kh;
              if (c.w + 2 * s.padding_w <= s.dilation_w * (kw - 1)) c.w = s.dilation_w * kw;
              c.threads = 1 + kind % 4;
              vary(c, kind++);
              check(c);
            }
}

// Rows that are one, and residuals with more pixels than a plan keeps, or with as many.
void long_rows() {
  for (const auto& [h, w] : {std::array{25, 40}, std::array{30, 40}, std::array{13, 13}})
    for (int kind = 0; kind < 16; ++kind) {
      Case c = layer(random_int(1, 40), random_int(1, 40), 1, 1, 0, h, w);
      c.n = 1 + kind % 2;
      c.threads = 1 + kind % 3;
      vary(c, kind);
      c.extra_border = 0;
      c.spec.residual = !c.spec.to_float, c.spec.upsample = false;
      c.residual_h = c.residual_w = 0;
      check(c);
    }
}

void fully_connected(bool reduced) {
  for (int n : {1, 2, 13, 14, 15, 29, 61})
    for (int kind = 0; kind < (reduced ? 2 : 14); ++kind) {
      Case c = layer(random_int(1, 20), random_int(1, 70), 7, 1, 0, 7, 7);
      c.n = n;
      c.threads = 1 + kind % 4;
      vary(c, kind);
      check(c);
    }
}

// Windows that are read in several parts, of several runs, by pairs of quads and without.
void long_windows(bool reduced) {
  int kind = 0;
  for (const auto& [ci, kernel, stride] : {std::array{517, 1, 1}, std::array{90, 3, 2},
                                           std::array{130, 3, 1}, std::array{23, 7, 2}})
    for (int weights : {8, 24, 40, 64})
      for (int co : {7, 16, 41}) {
        if (reduced && (kind + co) % 3) {
          ++kind;
          continue;
        }
        Case c = layer(ci, co, kernel, stride, kernel / 2, 7 + kind % 3, 9 + kind % 5);
        c.weights = weights;
        c.threads = 1 + kind % 2;
        vary(c, kind++);
        check(c);
      }
}

void extremes() {
  // Largest sums of either sign, and no intermediate int16 or int32 that gives way. Weights of
  // few bits let kernels add up more products in int16: the bound must hold for every magnitude.
  for (int magnitude : {1, 2, 3, 4, 8, 16, 31, 32, 33, 63, 64})
    for (int sign : {-1, 1})
      for (int zero : {0, 128, 255})
        for (int ci : {64, 67, 512}) {
          Case c = layer(ci, 17, 3, 1, 1, 3, 16);
          c.fill_x = 255;
          c.fill_w = sign * magnitude;
          c.spec.zero_in = zero;
          c.spec.to_float = true;
          check(c);
        }
  Case c = layer(12544, 33, 1, 1, 0, 1, 3);  // the longest sum of a Faster R-CNN
  for (int fill : {-64, 64}) {
    c.fill_x = 255;
    c.fill_w = fill;
    c.spec.to_float = fill > 0;
    check(c);
  }
  // The largest sums that fit int32, with zero points that drive them beyond on the way.
  for (int fill : {-64, 64})
    for (int x : {0, 255})
      for (int zero : {0, 128, 255}) {
        Case full = layer(131586, 3, 1, 1, 0, 1, 3);
        full.fill_x = x, full.fill_w = fill;
        full.spec.zero_in = zero;
        full.spec.to_float = true;
        check(full);
      }
  // Mixed magnitudes: where a bound is per channel and per position, not the largest weight.
  for (int kind = 0; kind < 60; ++kind) {
    Case mixed = layer(random_int(1, 300), random_int(1, 40), kind % 2 ? 3 : 1, 1, kind % 2, 3, 17);
    mixed.weights = 1 << kind % 7;
    mixed.fill_x = kind % 3 ? -1 : 255;
    mixed.spec.to_float = true;
    check(mixed);
  }
}

void adversaries() {
  for (int kind = 0; kind < 70; ++kind) {
    Case c = layer(random_int(1, 600), random_int(1, 20), 1, 1, 0, 1, 14);
    c.weights = 1 << kind % 7;
    c.adversary = true;
    c.spec.to_float = true;
    check(c);
  }
}

// Multipliers that take outputs beyond int32, beyond int16, or to zero.
void wide_ranges() {
  int kind = 0;
  for (float factor : {1e-20f, 1e-3f, 1e3f, 1e6f, 1e9f, 1e20f})
    for (int i = 0; i < 20; ++i) {
      Case c = layer(random_int(1, 90), random_int(1, 40), 1, 1, 0, 2, 17);
      vary(c, kind++);
      c.factor = factor;
      check(c);
    }
}

void real_layers(bool reduced) {
  std::string line;
  int kind = 0;
  while (std::getline(std::cin, line)) {
    int ci, co, kernel, stride, padding;
    std::istringstream fields(line);
    if (!(fields >> ci >> co >> kernel >> stride >> padding)) {
      fail("cannot read: " + line);
      return;
    }
    if (reduced && static_cast<long>(ci) * co * kernel * kernel > 300000) continue;
    const int side = kernel == 7 && ci > 3 ? 7 : 2 + kernel;
    Case c = layer(ci, co, kernel, stride, padding, side, kernel == 7 && ci > 3 ? 7 : 16 + kind % 5);
    c.threads = 1 + kind % 2;
    vary(c, kind++);
    check(c);
  }
}

template <class Function>
void must_throw(const char* what, Function function) {
  ++checks;
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return;
  }
  fail(std::string("accepted: ") + what);
}

void rejections() {
  const std::vector<int8_t> weight(64 * 64 * 9, 1);
  std::vector<float> ones(64, 1.0f);
  const Spec good = layer(64, 64, 3, 1, 1, 8, 8).spec;
  const Isa& isa = *isas.front();
  const auto pack = [&](const Spec& spec, const int8_t* w = nullptr) {
    return Packed(spec, w ? w : weight.data(), {ones.data(), ones.data()}, isa);
  };
  pack(good);
  Spec bad = good;
  bad.stride_h = 0;
  must_throw("stride 0", [&] { pack(bad); });
  bad = good, bad.zero_in = 256;
  must_throw("zero_in 256", [&] { pack(bad); });
  bad = good, bad.maximum_out = 0;
  must_throw("maximum_out 0", [&] { pack(bad); });
  std::vector<int8_t> large = weight;
  large[77] = 65;
  must_throw("weight 65", [&] { pack(good, large.data()); });
  ones[3] = NAN;
  must_throw("multiplier NaN", [&] { pack(good); });
  ones[3] = 1;
  bad = good, bad.residual = true;
  must_throw("no ratios", [&] { pack(bad); });
  for (const float ratio : {-1.0f, 1e26f, NAN}) {
    std::vector<float> ratios(64, 1.0f);
    ratios[5] = ratio;
    must_throw("a ratio", [&] {
      Packed(bad, weight.data(), {ones.data(), ones.data(), nullptr, ratios.data()}, isa);
    });
  }
  bad = good, bad.silu = true;
  must_throw("no factors", [&] { pack(bad); });
  const std::vector<int8_t> many(131587, 64);
  must_throw("int32 overflow", [&] { pack(layer(131587, 1, 1, 1, 0, 1, 1).spec, many.data()); });

  const Packed packed = pack(good);
  Owned in(1, 8, 8, 64, 1, 0), bare(1, 8, 8, 64, 0, 0), out(1, 8, 8, 64, 0, 0),
      narrow(1, 8, 7, 64, 0, 0), thin(1, 8, 8, 32, 1, 0);
  Plan(packed, in.map, out.map, nullptr, 1);
  must_throw("no border", [&] { Plan(packed, bare.map, out.map, nullptr, 1); });
  must_throw("output size", [&] { Plan(packed, in.map, narrow.map, nullptr, 1); });
  must_throw("channels", [&] { Plan(packed, thin.map, out.map, nullptr, 1); });
  must_throw("unwanted residual", [&] { Plan(packed, in.map, out.map, &out.map, 1); });
  must_throw("threads 0", [&] { Plan(packed, in.map, out.map, nullptr, 0); });
  for (const Isa& other : lbw::instruction_sets())
    if (!other.supported())
      must_throw(other.name, [&] {
        Packed(good, weight.data(), {ones.data(), ones.data()}, other);
      });
}

// Zero points and residuals of any size: what no valid layer has must not be met by a crash.
void unusual() {
  Case c = layer(8, 9, 3, 1, 1, 6, 7);
  c.spec.maximum_in = 15, c.spec.zero_in = 255;  // a border beyond the maximum
  c.spec.maximum_out = 15, c.spec.zero_out = 200, c.spec.relu = true;
  check(c);
  c = layer(64, 64, 3, 1, 1, 9, 9);
  c.spec.maximum_in = 1, c.spec.zero_in = 255;
  check(c);
}

// Codes with tables, packed from the last block to the first: the same bytes.
void coded_weights() {
  std::vector<int8_t> codes, tables(2 * 256), integers;
  for (int code = 0; code < 256; ++code)
    tables[code] = static_cast<int8_t>(code % 65), tables[256 + code] = static_cast<int8_t>(-(code % 50));
  const auto backwards = [](std::int64_t count, const std::function<void(std::int64_t)>& work) {
    while (count > 0) work(--count);
  };
  for (const Isa* const isa : isas)
    for (const int kernel : {1, 3}) {
      ++checks;
      const int in = 70, out = 75;
      codes.clear(), integers.clear();
      std::vector<int32_t> table_of;
      for (int o = 0; o < out; ++o) {
        table_of.push_back(o % 3 == 1);
        for (int i = 0; i < in * kernel * kernel; ++i) {
          codes.push_back(static_cast<int8_t>(o * 31 + i * 7));
          integers.push_back(tables[table_of.back() * 256 + static_cast<uint8_t>(codes.back())]);
        }
      }
      const std::vector<float> ones(out, 1.0f);
      const Spec spec = layer(in, out, kernel, 1, kernel / 2, 9, 9).spec;
      const ChannelNumbers numbers{ones.data(), ones.data()};
      const Packed given(spec, integers.data(), numbers, *isa);
      const Packed coded(spec, {codes.data(), tables.data(), table_of.data()}, numbers, *isa, true,
                         nullptr, backwards);
      if (given.bytes() != coded.bytes() || given.winograd() != coded.winograd() ||
          std::memcmp(given.weight(), coded.weight(), given.layout().weight->size()) != 0)
        fail("codes are packed otherwise than what they stand for");
    }
}

void shared_weights() {
  ++checks;
  const std::vector<int8_t> one(8 * 8, 3), other(8 * 8, -3);
  const std::vector<float> ones(8, 1.0f), twos(8, 2.0f);
  WeightStore store;
  const Isa& isa = *isas.front();
  const Spec spec = layer(8, 8, 1, 1, 0, 1, 1).spec;
  const Packed a(spec, one.data(), {ones.data(), ones.data()}, isa, true, &store);
  const Packed b(spec, one.data(), {twos.data(), ones.data()}, isa, true, &store);
  const Packed c(spec, other.data(), {ones.data(), ones.data()}, isa, true, &store);
  if (a.weight() != b.weight()) fail("one weight is packed twice");
  if (a.weight() == c.weight()) fail("two weights are taken for one");
}

}  // namespace

int main(int argc, char** argv) {
  bool reduced = false;
  for (const Isa& isa : lbw::instruction_sets())
    if (isa.supported()) isas.push_back(&isa);
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--reduced") {
      reduced = true;
    } else if (argument == "--isa" && i + 1 < argc) {
      const std::string wanted = argv[++i];
      isas.erase(std::remove_if(isas.begin(), isas.end(),
                                [&](const Isa* isa) { return wanted != isa->name; }),
                 isas.end());
      if (isas.empty()) {
        std::printf("no kernel '%s' on this CPU\n", wanted.c_str());
        return 2;
      }
    } else {
      std::printf("unknown argument '%s'\n", argument.c_str());
      return 2;
    }
  }
  std::printf("kernels:");
  for (const Isa* isa : isas) std::printf(" %s", isa->name);
  std::printf("\n");
  rejections();
  unusual();
  shared_weights();
  coded_weights();
  sweep_sizes(reduced);
  sweep_windows(reduced);
  long_rows();
  fully_connected(reduced);
  long_windows(reduced);
  extremes();
  adversaries();
  wide_ranges();
  real_layers(reduced);
  std::printf("%ld checks, %d failures\n", checks, failures);
  return failures ? 1 : 0;
}
