// Class L2Norm: each pixel's channels divided by their length, then a factor per channel.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

constexpr int kChunk = 1024;  // numbers that are real for a while

class L2Norm : public Operation {
 public:
  explicit L2Norm(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        gain_(fields.floats("gain")),
        zeros_(kChunk) {
    const auto bits = fields.integers("offset");  // of a float64
    expect(bits.size == 2, "offset is no float64");
    std::memcpy(&offset_, bits.data, sizeof offset_);
    expect(offset_ > 0, "offset must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c != static_cast<std::int64_t>(gain_.size()))
      throw Error(std::to_string(gain_.size()) + " weights for a map of " + in.text());
    return in;
  }

  double work(const Sizes& sizes) const override { return 3 * sizes[output].size(); }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const int zero = frame.descriptions[inputs[0]].zero_point;
    const Rounding rounding = frame.rounding(output);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
      float factors[kChunk], reals[kChunk];
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        const std::uint8_t* from = in.data + image * in.image_stride + y * in.row_stride;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        for (int x = 0; x < in.w; ++x, from += in.c, to += in.c) {
          const float inverse = inverse_length(from, zero, in.c);
          for (int c = 0; c < in.c; c += kChunk) {
            const int count = std::min(kChunk, in.c - c);
            for (int i = 0; i < count; ++i) factors[i] = gain_[c + i] * inverse;
            frame.loops.affine(from + c, static_cast<float>(zero), factors, zeros_.data(), count,
                               reals);
            frame.loops.round(reals, rounding, count, to + c);
          }
        }
      }
    });
  }

 private:
  float inverse_length(const std::uint8_t* pixel, int zero, int channels) const {
    std::int64_t squares = 0;
    for (int c = 0; c < channels; ++c) {
      const int x = pixel[c] - zero;
      squares += x * x;
    }
    return static_cast<float>(1 / (std::sqrt(static_cast<double>(squares)) + offset_));
  }

  std::vector<float> gain_, zeros_;
  double offset_ = 0;
};

const Registered<L2Norm> registered("L2Norm");

}  // namespace
}  // namespace lbw
