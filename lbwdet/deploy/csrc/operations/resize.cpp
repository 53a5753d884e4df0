// Class Resize: bilinear interpolation in integers.
#include <algorithm>
#include <cmath>

#include "operation.h"

namespace lbw {
namespace {

constexpr int kOne = 2048;  // weights are multiples of 1 / 2048

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs{fields.value("input", Kind::bytes)};
  if (fields.has("like")) inputs.push_back(fields.value("like", Kind::map));
  return inputs;
}

class Resize : public Operation {
 public:
  explicit Resize(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::bytes)),
        factor_(fields.pair("factor")),
        divisor_(fields.pair("divisor")),
        size_(fields.pair("size")),
        align_corners_(fields.flag("align_corners")),
        aligned_(fields.flag("aligned")) {
    expect(factor_.h > 0 && factor_.w > 0 && divisor_.h > 0 && divisor_.w > 0,
           "factor and divisor must be positive");
    expect(fields.description(output).maximum >= fields.description(inputs[0]).maximum,
           "the input goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    Shape out{in.n, in.h * factor_.h / divisor_.h, in.w * factor_.w / divisor_.w, in.c};
    if (size_.h > 0) out.h = size_.h, out.w = size_.w;
    if (inputs.size() > 1) out.h = sizes[inputs[1]].h, out.w = sizes[inputs[1]].w;
    if (in.h < 1 || in.w < 1 || out.h < 1 || out.w < 1)
      throw Error("a map of " + in.text() + " that becomes one of " + out.text());
    return out;
  }

  double scratch(const Sizes& sizes) const override {
    return scratch_bytes<Tap>(static_cast<double>(sizes[output].w));
  }

  double work(const Sizes& sizes) const override { return sizes[output].size() * 6; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::ptrdiff_t channels = in.c;
    Tap* const columns = frame.scratch.take<Tap>(out.w);
    for (int x = 0; x < out.w; ++x) columns[x] = tap(x, in.w, out.w, factor_.w);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h;
        const Tap row = tap(static_cast<int>(index % out.h), in.h, out.h, factor_.h);
        const std::uint8_t* const map = in.data + image * in.image_stride;
        const std::uint8_t* const top = map + row.first * in.row_stride;
        const std::uint8_t* const bottom = map + row.second * in.row_stride;
        std::uint8_t* to = out.data + image * out.image_stride + index % out.h * out.row_stride;
        for (int x = 0; x < out.w; ++x, to += channels) {
          const Tap& column = columns[x];
          pixel(top + column.first * channels, top + column.second * channels,
                bottom + column.first * channels, bottom + column.second * channels,
                column.weight, row.weight, channels, to);
        }
      }
    });
  }

 private:
  struct Tap {
    int first, second, weight;  // weight of the second
  };

  // Where a pixel of an axis comes from.
  Tap tap(int index, int source, int target, int factor) const {
    double place;
    if (aligned_)
      place = static_cast<double>(std::max(index - factor / 2, 0)) / factor;
    else if (align_corners_)
      place = index * (static_cast<double>(source - 1) / std::max(target - 1, 1));
    else
      place = std::max((index + 0.5) * (static_cast<double>(source) / target) - 0.5, 0.0);
    const int first = std::min(static_cast<int>(std::floor(place)), source - 1);
    return {first, std::min(first + 1, source - 1),
            static_cast<int>(std::nearbyint((place - first) * kOne))};
  }

  static void pixel(const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* c,
                    const std::uint8_t* d, int across, int down, std::ptrdiff_t count,
                    std::uint8_t* __restrict out) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const int above = a[i] * (kOne - across) + b[i] * across;
      const int below = c[i] * (kOne - across) + d[i] * across;
      out[i] = static_cast<std::uint8_t>(
          (above * (kOne - down) + below * down + (1 << 21)) >> 22);
    }
  }

  Pair factor_, divisor_, size_;
  bool align_corners_, aligned_;
};

const Registered<Resize> registered("Resize");

}  // namespace
}  // namespace lbw
