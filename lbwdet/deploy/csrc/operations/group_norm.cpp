// Class GroupNorm: exact sums first, then a factor and an offset per image and channel.
#include <algorithm>
#include <cmath>

#include "operation.h"

namespace lbw {
namespace {

constexpr int kChunk = 1024;            // numbers that are real for a while
constexpr std::int64_t kRun = 1 << 16;  // pixels whose sum of squares fits 32 bits

class GroupNorm : public Operation {
 public:
  explicit GroupNorm(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::map)),
        gain_(fields.floats("gain")),
        bias_(fields.floats("bias", gain_.size())),
        groups_(fields.integer("groups")),
        epsilon_(fields.real("scaled_epsilon")),
        scale_(fields.real("scale")),
        relu_(fields.flag("relu")),
        per_pixel_(fields.flag("per_pixel")) {
    expect(groups_ > 0 && !gain_.empty() && gain_.size() % groups_ == 0,
           "the channels are no such groups");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c != static_cast<std::int64_t>(gain_.size()))
      throw Error(std::to_string(gain_.size()) + " factors for a map of " + in.text());
    return in;
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (per_pixel_)
      return (scratch_bytes<std::int64_t>(2.0 * groups_) + pixel_floats(in)) * sizes.threads;
    const double images = static_cast<double>(in.n);
    return scratch_bytes<std::int64_t>(images * groups_ * 2) +
           2 * scratch_bytes<float>(images * static_cast<double>(in.c)) +
           of_thread(static_cast<double>(in.c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override { return sizes[output].size() * 3; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const bool to_float = frame.descriptions[output].is_float;
    if (to_float)
      frame.begin_floats(output, in.n);
    else
      frame.begin_bytes(output, in.n);
    if (per_pixel_) return pixels(frame, in, to_float);
    const std::size_t channels = in.c, images = in.n;
    auto* const sums = frame.scratch.take<std::int64_t>(images * groups_ * 2);
    float* const multiplier = frame.scratch.take<float>(images * channels);
    float* const offset = frame.scratch.take<float>(images * channels);
    std::fill_n(sums, images * groups_ * 2, 0);
    const auto parts =
        frame.scratch.parts(of_thread(static_cast<double>(channels)), frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      auto* const once = part.take<std::uint32_t>(channels);
      auto* const squares = part.take<std::uint32_t>(channels);
      for (std::int64_t index = begin; index < end; ++index)
        add_row(in, index / in.h, index % in.h, once, squares, sums);
    });
    frame.pool.parallel(in.n, 16, [&](std::int64_t begin, std::int64_t end, int) {
      const std::int64_t zero = frame.descriptions[inputs[0]].zero_point;
      for (std::int64_t image = begin; image < end; ++image)
        fit(in, zero, sums + image * groups_ * 2, multiplier + image * channels,
            offset + image * channels);
    });
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        const std::uint8_t* const from = in.data + image * in.image_stride + y * in.row_stride;
        const float* const by = multiplier + image * channels;
        const float* const plus = offset + image * channels;
        if (to_float)
          row_of_floats(frame, in, from, by, plus, image, y);
        else
          row_of_bytes(frame, in, from, by, plus, image, y);
      }
    });
  }

 private:
  static double pixel_floats(const Shape& in) {
    return 2 * scratch_bytes<float>(static_cast<double>(in.c));
  }

  // Every pixel as an image of its own.
  void pixels(Frame& frame, const conv::Map& in, bool to_float) const {
    conv::Map pixel = in;
    pixel.n = pixel.h = pixel.w = 1;
    const std::size_t groups = groups_, width = in.c / groups_;
    const auto parts = frame.scratch.parts(
        scratch_bytes<std::int64_t>(2.0 * groups_) + pixel_floats({1, 1, 1, in.c}),
        frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      auto* const sums = part.take<std::int64_t>(2 * groups);
      float* const multiplier = part.take<float>(in.c);
      float* const offset = part.take<float>(in.c);
      const std::int64_t zero_point = frame.descriptions[inputs[0]].zero_point;
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        const std::uint8_t* from = in.data + image * in.image_stride + y * in.row_stride;
        for (std::int64_t x = 0; x < in.w; ++x, from += in.c) {
          for (std::size_t group = 0; group < groups; ++group) {
            std::uint32_t first = 0;
            std::uint64_t second = 0;
            for (std::size_t c = group * width; c < (group + 1) * width; ++c) {
              first += from[c];
              second += static_cast<std::uint32_t>(from[c]) * from[c];
            }
            sums[2 * group] = first;
            sums[2 * group + 1] = static_cast<std::int64_t>(second);
          }
          fit(pixel, zero_point, sums, multiplier, offset);
          if (to_float)
            row_of_floats(frame, pixel, from, multiplier, offset, image, y, x);
          else
            row_of_bytes(frame, pixel, from, multiplier, offset, image, y, x);
        }
      }
    });
  }

  static double of_thread(double channels) { return 2 * scratch_bytes<std::uint32_t>(channels); }

  // Adds the sums of a row's numbers and of their squares to those of its image, group by group.
  void add_row(const conv::Map& in, std::int64_t image, std::int64_t y, std::uint32_t* once,
               std::uint32_t* squares, std::int64_t* sums) const {
    const std::size_t channels = in.c, width = channels / groups_;
    const std::uint8_t* pixel = in.data + image * in.image_stride + y * in.row_stride;
    for (std::int64_t x = 0; x < in.w; x += kRun) {
      std::fill_n(once, channels, 0);
      std::fill_n(squares, channels, 0);
      const std::int64_t run = std::min<std::int64_t>(kRun, in.w - x);
      for (std::int64_t i = 0; i < run; ++i, pixel += channels)
        for (std::size_t c = 0; c < channels; ++c) {
          const std::uint32_t q = pixel[c];
          once[c] += q;
          squares[c] += q * q;
        }
      for (std::size_t group = 0; group < groups_; ++group) {
        std::int64_t first = 0, second = 0;
        for (std::size_t c = group * width; c < (group + 1) * width; ++c)
          first += once[c], second += squares[c];
        // Whole numbers: the order in which threads add them changes nothing.
        std::int64_t* const to = sums + (image * groups_ + group) * 2;
        __atomic_fetch_add(to, first, __ATOMIC_RELAXED);
        __atomic_fetch_add(to + 1, second, __ATOMIC_RELAXED);
      }
    }
  }

  // What each channel of an image is multiplied by, and what is added.
  void fit(const conv::Map& in, std::int64_t zero, const std::int64_t* sums, float* multiplier,
           float* offset) const {
    const std::size_t width = in.c / groups_;
    const std::int64_t count = static_cast<std::int64_t>(in.h) * in.w * width;
    for (std::size_t group = 0; group < groups_; ++group) {
      const std::int64_t first = sums[group * 2] - zero * count;
      const std::int64_t second =
          sums[group * 2 + 1] - 2 * zero * sums[group * 2] + zero * zero * count;
      const double mean = static_cast<double>(first) / static_cast<double>(count);
      const double variance =
          std::max(static_cast<double>(second) / static_cast<double>(count) - mean * mean, 0.0);
      const double root = std::sqrt(variance + epsilon_);
      for (std::size_t c = group * width; c < (group + 1) * width; ++c) {
        const double factor = static_cast<double>(gain_[c]) / root;
        multiplier[c] = static_cast<float>(factor / scale_);
        offset[c] = static_cast<float>((static_cast<double>(bias_[c]) - mean * factor) / scale_);
      }
    }
  }

  float zero(const Frame& frame) const {
    return static_cast<float>(frame.descriptions[inputs[0]].zero_point);
  }

  void row_of_floats(const Frame& frame, const conv::Map& in, const std::uint8_t* from,
                     const float* multiplier, const float* offset, std::int64_t image,
                     std::int64_t y, std::int64_t column = 0) const {
    const conv::FloatMap& out = frame.floats(output);
    float* to = out.data + image * out.image_stride + y * out.row_stride + column * in.c;
    for (int x = 0; x < in.w; ++x, from += in.c, to += in.c) {
      frame.loops.affine(from, zero(frame), multiplier, offset, in.c, to);
      if (relu_)
        for (int c = 0; c < in.c; ++c) to[c] = to[c] > 0 ? to[c] : 0;
    }
  }

  void row_of_bytes(const Frame& frame, const conv::Map& in, const std::uint8_t* from,
                    const float* multiplier, const float* offset, std::int64_t image,
                    std::int64_t y, std::int64_t column = 0) const {
    const conv::Map& out = frame.bytes(output);
    std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride + column * in.c;
    const Rounding rounding = frame.rounding(output, relu_);
    float reals[kChunk];
    for (int x = 0; x < in.w; ++x, from += in.c, to += in.c)
      for (int c = 0; c < in.c; c += kChunk) {
        const int count = std::min(kChunk, in.c - c);
        frame.loops.affine(from + c, zero(frame), multiplier + c, offset + c, count, reals);
        frame.loops.round(reals, rounding, count, to + c);
      }
  }

  std::vector<float> gain_, bias_;  // by channel
  std::size_t groups_;
  double epsilon_;  // in units of the input's scale
  double scale_;    // of the output
  bool relu_, per_pixel_;
};

const Registered<GroupNorm> registered("GroupNorm");

}  // namespace
}  // namespace lbw
