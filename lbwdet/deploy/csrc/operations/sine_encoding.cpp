// Class SineEncoding: where a pixel is, as sines of many wave lengths.
#include <cstring>

#include "../arithmetic/elementary.h"
#include "operation.h"

namespace lbw {
namespace {

class SineEncoding : public Operation {
 public:
  explicit SineEncoding(const Fields& fields)
      : Operation({fields.value("like", Kind::map)}, fields.value("output", Kind::bytes)),
        slowness_(fields.floats("slowness")),
        scale_(fields.real("scale")),
        offset_(fields.real("offset")),
        epsilon_(fields.real("epsilon")),
        ratio_(fields.real("ratio")) {
    expect(!slowness_.empty(), "there are no channels");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& like = sizes[inputs[0]];
    return {like.n, like.h, like.w, 2 * static_cast<std::int64_t>(slowness_.size())};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    const double half = static_cast<double>(slowness_.size());
    return scratch_bytes<std::uint8_t>(static_cast<double>(out.h) * half) +
           scratch_bytes<std::uint8_t>(static_cast<double>(out.w) * half) +
           scratch_bytes<float>(half);
  }

  double work(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    return 50.0 * static_cast<double>(out.h + out.w) * static_cast<double>(slowness_.size()) +
           out.size();
  }

  void run(Frame& frame) const override {
    const bool real = frame.descriptions[inputs[0]].is_float;
    const int count = real ? frame.floats(inputs[0]).n : frame.bytes(inputs[0]).n;
    const conv::Map& out = frame.begin_bytes(output, count);
    const std::size_t half = slowness_.size();
    auto* const down = frame.scratch.take<std::uint8_t>(out.h * half);
    auto* const across = frame.scratch.take<std::uint8_t>(out.w * half);
    float* const reals = frame.scratch.take<float>(half);
    side(frame, out.h, reals, down);
    side(frame, out.w, reals, across);
    const std::int64_t rows = static_cast<std::int64_t>(count) * out.h;
    for (std::int64_t index = 0; index < rows; ++index) {
      const std::int64_t image = index / out.h, y = index % out.h;
      std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
      for (std::int64_t x = 0; x < out.w; ++x, to += 2 * half) {
        std::memcpy(to, down + y * half, half);
        std::memcpy(to + half, across + x * half, half);
      }
    }
  }

 private:
  void side(const Frame& frame, int size, float* reals, std::uint8_t* bytes) const {
    const Rounding rounding = frame.rounding(output);
    for (int p = 0; p < size; ++p, bytes += slowness_.size()) {
      double place = p + 1;
      if (scale_ != 0) place = (place + offset_) / (size + epsilon_) * scale_;
      for (std::size_t k = 0; k < slowness_.size(); ++k) {
        const double angle = place * static_cast<double>(slowness_[k]);
        reals[k] = static_cast<float>(sine(k % 2 ? angle + kPi / 2 : angle)) * ratio_;
      }
      frame.loops.round(reals, rounding, slowness_.size(), bytes);
    }
  }

  std::vector<float> slowness_;
  double scale_, offset_, epsilon_;
  float ratio_;
};

const Registered<SineEncoding> registered("SineEncoding");

}  // namespace
}  // namespace lbw
