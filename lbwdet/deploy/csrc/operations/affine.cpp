// Class Affine: a factor and an offset per channel.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr int kChunk = 1024;  // numbers that are real for a while

class Affine : public Operation {
 public:
  explicit Affine(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::map)),
        multiplier_(fields.floats("multiplier")),
        offset_(fields.floats("offset", multiplier_.size())),
        relu_(fields.flag("relu")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c != static_cast<std::int64_t>(multiplier_.size()))
      throw Error(std::to_string(multiplier_.size()) + " multipliers for a map of " + in.text());
    return in;
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const bool to_float = frame.descriptions[output].is_float;
    if (to_float)
      frame.begin_floats(output, in.n);
    else
      frame.begin_bytes(output, in.n);
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        const std::uint8_t* const from = in.data + image * in.image_stride + y * in.row_stride;
        if (to_float)
          row_of_floats(frame, in, from, image, y);
        else
          row_of_bytes(frame, in, from, image, y);
      }
    });
  }

 private:
  float zero(const Frame& frame) const {
    return static_cast<float>(frame.descriptions[inputs[0]].zero_point);
  }

  void row_of_floats(const Frame& frame, const conv::Map& in, const std::uint8_t* from,
                     std::int64_t image, std::int64_t y) const {
    const conv::FloatMap& out = frame.floats(output);
    float* to = out.data + image * out.image_stride + y * out.row_stride;
    for (int x = 0; x < in.w; ++x, from += in.c, to += in.c) {
      frame.loops.affine(from, zero(frame), multiplier_.data(), offset_.data(), in.c, to);
      if (relu_)
        for (int c = 0; c < in.c; ++c) to[c] = to[c] > 0 ? to[c] : 0;
    }
  }

  void row_of_bytes(const Frame& frame, const conv::Map& in, const std::uint8_t* from,
                    std::int64_t image, std::int64_t y) const {
    const conv::Map& out = frame.bytes(output);
    std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
    const Rounding rounding = frame.rounding(output, relu_);
    float reals[kChunk];
    for (int x = 0; x < in.w; ++x, from += in.c, to += in.c)
      for (int c = 0; c < in.c; c += kChunk) {
        const int count = std::min(kChunk, in.c - c);
        frame.loops.affine(from + c, zero(frame), &multiplier_[c], &offset_[c], count, reals);
        frame.loops.round(reals, rounding, count, to + c);
      }
  }

  std::vector<float> multiplier_, offset_;  // by channel
  bool relu_;
};

const Registered<Affine> registered("Affine");

}  // namespace
}  // namespace lbw
