// Class DeformedSamples: a map's pixels between which the taps of a deformable convolution lie.
#include <algorithm>
#include <cmath>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

class DeformedSamples : public Operation {
 public:
  explicit DeformedSamples(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("offsets", Kind::floats)},
                  fields.value("output", Kind::bytes)),
        kernel_(fields.pair("kernel")),
        stride_(fields.pair("stride")),
        padding_(fields.pair("padding")),
        dilation_(fields.pair("dilation")),
        groups_(fields.integer("groups")),
        parts_(fields.integer("deform_groups")),
        modulated_(fields.flag("modulated")),
        ratio_(fields.real("ratio")) {
    expect(kernel_.h > 0 && kernel_.w > 0 && stride_.h > 0 && stride_.w > 0 && dilation_.h > 0 &&
               dilation_.w > 0 && padding_.h >= 0 && padding_.w >= 0,
           "kernel, stride and dilation must be positive, padding not negative");
    expect(groups_ > 0 && parts_ > 0, "groups must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &offsets = sizes[inputs[1]];
    const Shape wanted{in.n, side(in.h, kernel_.h, stride_.h, padding_.h, dilation_.h),
                       side(in.w, kernel_.w, stride_.w, padding_.w, dilation_.w),
                       (modulated_ ? 3 : 2) * parts_ * taps()};
    if (offsets != wanted || in.h < 1 || in.w < 1 || wanted.h < 1 || wanted.w < 1)
      throw Error("offsets of " + offsets.text() + " for a map of " + in.text());
    if (in.c % groups_ != 0 || in.c % parts_ != 0)
      throw Error("a map of " + in.text() + " does not fall into its groups");
    return {in.n, wanted.h, wanted.w, in.c * taps()};
  }

  double scratch(const Sizes& sizes) const override {
    return modulated_ ? of_thread(static_cast<double>(sizes[output].w)) * sizes.threads : 0;
  }

  double work(const Sizes& sizes) const override {
    const Shape& offsets = sizes[inputs[1]];
    // Four pixels per number; some thirty operations to find a place, fifty more for a power.
    const double places = 1.0 * offsets.n * offsets.h * offsets.w * parts_ * taps();
    return 4 * sizes[output].size() + places * (modulated_ ? 80 : 30);
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::FloatMap& offsets = frame.floats(inputs[1]);
    expect(offsets.n == in.n, "the map and its offsets differ in number");
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const auto zero = static_cast<float>(frame.descriptions[inputs[0]].zero_point);
    const std::int64_t shifts = parts_ * taps(), rows = static_cast<std::int64_t>(in.n) * out.h;
    const auto scratch =
        frame.scratch.parts(modulated_ ? of_thread(out.w) : 0, frame.pool.threads());
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch memory = scratch.of(thread);
      double* const masks =
          modulated_ ? memory.take<double>(static_cast<std::size_t>(shifts * out.w)) : nullptr;
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::uint8_t* const map = in.data + image * in.image_stride;
        const float* given =
            offsets.data + image * offsets.image_stride + y * offsets.row_stride;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        if (modulated_) sigmoids(given, offsets.pixel_stride(), out.w, frame.loops, masks);
        for (std::int64_t x = 0; x < out.w; ++x, given += offsets.pixel_stride(), to += out.c)
          for (std::int64_t shift = 0; shift < shifts; ++shift) {
            Sample sample;
            const bool is_number = !modulated_ || is_a_number(given[2 * shifts + shift]);
            const auto mask = modulated_ ? static_cast<float>(masks[x * shifts + shift]) : 1.0f;
            find(in, map, y, x, shift % taps(), given + 2 * shift, is_number, mask, sample);
            write(sample, shift, in.c, zero, rounding, frame.loops, to);
          }
      }
    });
  }

 private:
  // Four pixels and their factors.
  struct Sample {
    const std::uint8_t* pixels[4];
    float factors[4];
  };

  static std::int64_t side(std::int64_t length, std::int64_t kernel, std::int64_t stride,
                           std::int64_t padding, std::int64_t dilation) {
    const std::int64_t room = length + 2 * padding - (kernel - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
  }

  static bool is_a_number(float value) { return value == value; }

  std::int64_t taps() const { return static_cast<std::int64_t>(kernel_.h) * kernel_.w; }

  double of_thread(double width) const {
    return scratch_bytes<double>(width * static_cast<double>(parts_ * taps()));
  }

  // Of a row's logits, by pixel.
  void sigmoids(const float* offsets, std::ptrdiff_t pixel_stride, std::int64_t width,
                const Loops& loops, double* masks) const {
    const std::int64_t shifts = parts_ * taps();
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t i = 0; i < shifts; ++i) {
        const float logit = offsets[x * pixel_stride + 2 * shifts + i];
        masks[x * shifts + i] = is_a_number(logit) ? logit : 0;
      }
    sigmoid(masks, static_cast<std::size_t>(width * shifts), loops);
  }

  void find(const conv::Map& in, const std::uint8_t* map, std::int64_t y, std::int64_t x,
            std::int64_t tap, const float* offset, bool is_number, float mask,
            Sample& sample) const {
    const std::int64_t ky = tap / kernel_.w, kx = tap % kernel_.w;
    const float v =
        static_cast<float>(y * stride_.h - padding_.h + ky * dilation_.h) + offset[0];
    const float u =
        static_cast<float>(x * stride_.w - padding_.w + kx * dilation_.w) + offset[1];
    // False of what is no number; only then is there an integer for what is below.
    const bool inside = is_number && v > -1 && v < static_cast<float>(in.h) && u > -1 &&
                        u < static_cast<float>(in.w);
    const float top = inside ? std::floor(v) : 0, left = inside ? std::floor(u) : 0;
    const float b = v - top, a = u - left;
    const auto row = static_cast<std::int64_t>(top), column = static_cast<std::int64_t>(left);
    const float weights[4] = {(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a};
    for (int i = 0; i < 4; ++i) {
      const std::int64_t j = row + i / 2, k = column + i % 2;
      const bool there = inside && j >= 0 && j < in.h && k >= 0 && k < in.w;
      sample.pixels[i] = there ? map + j * in.row_stride + k * in.c : map;
      sample.factors[i] = there ? weights[i] * mask * ratio_ : 0;
    }
  }

  // The channels of a sample's part, to where the convolution's groups have them.
  void write(const Sample& sample, std::int64_t shift, std::int64_t channels, float zero,
             const Rounding& rounding, const Loops& loops, std::uint8_t* to) const {
    const std::int64_t part = shift / taps(), tap = shift % taps();
    const std::int64_t of_group = channels / groups_, of_part = channels / parts_;
    const std::int64_t end = (part + 1) * of_part;
    for (std::int64_t c = part * of_part, next; c < end; c = next) {
      const std::int64_t group = c / of_group;
      next = std::min(end, (group + 1) * of_group);
      const std::uint8_t* pixels[4];
      for (int i = 0; i < 4; ++i) pixels[i] = sample.pixels[i] + c;
      loops.weighted_four(pixels, sample.factors, zero, rounding,
                          static_cast<std::size_t>(next - c),
                          to + (group * taps() + tap) * of_group + (c - group * of_group));
    }
  }

  Pair kernel_, stride_, padding_, dilation_;
  std::int64_t groups_, parts_;
  bool modulated_;
  float ratio_;  // scale of the input over that of the output
};

const Registered<DeformedSamples> registered("DeformedSamples");

}  // namespace
}  // namespace lbw
