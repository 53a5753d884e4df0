// Class SoftmaxOfParts.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class SoftmaxOfParts : public Operation {
 public:
  explicit SoftmaxOfParts(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::bytes)),
        groups_(fields.integer("groups")),
        parts_(fields.integer("parts")),
        ratio_(fields.real("ratio")) {
    expect(groups_ > 0 && parts_ > 0, "groups and parts must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c % (groups_ * parts_) != 0)
      throw Error("a map of " + in.text() + " has not such groups and parts");
    return in;
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(static_cast<double>(sizes[output].c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override { return 50 * sizes[output].size(); }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const std::int64_t channels = in.c, size = channels / groups_ / parts_;
    const auto scratch =
        frame.scratch.parts(of_thread(static_cast<double>(channels)), frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = scratch.of(thread);
      double* const powers = part.take<double>(channels);
      float* const shares = part.take<float>(channels);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        const float* from = in.data + image * in.image_stride + y * in.row_stride;
        std::uint8_t* to = out.data + image * out.image_stride + y * out.row_stride;
        for (int x = 0; x < in.w; ++x, from += channels, to += channels) {
          pixel(from, size, frame.loops, powers, shares);
          frame.loops.round(shares, rounding, channels, to);
        }
      }
    });
  }

 private:
  static double of_thread(double channels) {
    return scratch_bytes<double>(channels) + scratch_bytes<float>(channels);
  }

  void pixel(const float* from, std::int64_t size, const Loops& loops, double* powers,
             float* shares) const {
    const std::int64_t block = parts_ * size;
    const auto each = [&](auto act) {
      for (std::int64_t group = 0; group < groups_; ++group)
        for (std::int64_t i = 0; i < size; ++i) act(group, group * block + i, i);
    };
    each([&](std::int64_t, std::int64_t first, std::int64_t) {
      float largest = from[first];
      for (std::int64_t part = 1; part < parts_; ++part)
        largest = std::max(largest, from[first + part * size]);
      for (std::int64_t part = 0; part < parts_; ++part) {
        const std::int64_t at = first + part * size;
        powers[at] = static_cast<double>(from[at]) - static_cast<double>(largest);
      }
    });
    loops.exponentials(powers, static_cast<std::size_t>(groups_ * block));
    each([&](std::int64_t group, std::int64_t first, std::int64_t i) {
      double total = 0;
      for (std::int64_t part = 0; part < parts_; ++part) total += powers[first + part * size];
      for (std::int64_t part = 0; part < parts_; ++part)
        shares[(part * groups_ + group) * size + i] =
            static_cast<float>(powers[first + part * size] / total) * ratio_;
    });
  }

  std::int64_t groups_, parts_;
  float ratio_;  // 1 over the scale of the output
};

const Registered<SoftmaxOfParts> registered("SoftmaxOfParts");

}  // namespace
}  // namespace lbw
