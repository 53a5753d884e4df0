// Class Affine: a factor and an offset per channel.
#include <algorithm>

#include "copy_pixels.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr std::size_t kMostNumbers = 1024;
constexpr int kFewChannels = 32;  // of a pixel: less than a call is worth

class Affine : public Operation {
 public:
  explicit Affine(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::map)),
        multiplier_(fields.floats("multiplier")),
        offset_(fields.floats("offset", multiplier_.size())),
        channels_(static_cast<std::int64_t>(multiplier_.size())),
        relu_(fields.flag("relu")) {
    // For several pixels at once, where they have few channels.
    for (std::vector<float>* numbers : {&multiplier_, &offset_}) {
      const std::vector<float> once = *numbers;
      while (!once.empty() && numbers->size() + once.size() <= kMostNumbers)
        numbers->insert(numbers->end(), once.begin(), once.end());
    }
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c != channels_)
      throw Error(std::to_string(channels_) + " multipliers for a map of " + in.text());
    return in;
  }

  bool writes_among() const override { return true; }

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

  // Calls step(at, first channel, count) for pieces of a row, of the channels of all its pixels.
  template <class Step>
  void each_piece(const conv::Map& in, Step step) const {
    const auto run = static_cast<std::int64_t>(multiplier_.size());
    const std::int64_t numbers = static_cast<std::int64_t>(in.w) * in.c;
    for (std::int64_t at = 0, count = 0; at < numbers; at += count) {
      const std::int64_t first = at % run;
      count = std::min(run - first, numbers - at);
      step(at, first, count);
    }
  }

  void row_of_floats(const Frame& frame, const conv::Map& in, const std::uint8_t* from,
                     std::int64_t image, std::int64_t y) const {
    const conv::FloatMap& out = frame.floats(output);
    float* const to = out.data + image * out.image_stride + y * out.row_stride;
    each_piece(in, [&](std::int64_t at, std::int64_t first, std::int64_t count) {
      frame.loops.affine(from + at, zero(frame), &multiplier_[first], &offset_[first], count,
                         to + at);
      if (relu_)
        for (std::int64_t i = at; i < at + count; ++i) to[i] = to[i] > 0 ? to[i] : 0;
    });
  }

  void row_of_bytes(const Frame& frame, const conv::Map& in, const std::uint8_t* from,
                    std::int64_t image, std::int64_t y) const {
    const conv::Map& out = frame.bytes(output);
    std::uint8_t* const to = out.data + image * out.image_stride + y * out.row_stride;
    const Rounding rounding = frame.rounding(output, relu_);
    if (out.pixel_stride() == out.c) {
      each_piece(in, [&](std::int64_t at, std::int64_t first, std::int64_t count) {
        frame.loops.affine_bytes(from + at, zero(frame), &multiplier_[first], &offset_[first],
                                 rounding, count, to + at);
      });
    } else if (in.c <= kFewChannels) {
      std::uint8_t together[kMostNumbers];
      each_piece(in, [&](std::int64_t at, std::int64_t first, std::int64_t count) {
        frame.loops.affine_bytes(from + at, zero(frame), &multiplier_[first], &offset_[first],
                                 rounding, count, together);
        copy_pixels(together, to + at / in.c * out.pixel_stride(), {in.c, out.pixel_stride()},
                    in.c, count / in.c);
      });
    } else {
      for (std::ptrdiff_t x = 0; x < in.w; ++x)
        frame.loops.affine_bytes(from + x * in.c, zero(frame), multiplier_.data(), offset_.data(),
                                 rounding, in.c, to + x * out.pixel_stride());
    }
  }

  std::vector<float> multiplier_, offset_;  // by channel, perhaps several times
  std::int64_t channels_;
  bool relu_;
};

const Registered<Affine> registered("Affine");

}  // namespace
}  // namespace lbw
