// Class Add: the sum of maps of one shape, or of one pixel.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr std::size_t kChunk = 1024;  // numbers that are real for a while

class Add : public Operation {
 public:
  explicit Add(const Fields& fields)
      : Operation(fields.values("inputs", Kind::bytes), fields.value("output", Kind::bytes)),
        ratios_(fields.floats("ratios", inputs.size())),
        relu_(fields.flag("relu")) {
    expect(!inputs.empty(), "it reads no map");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& first = sizes[inputs[0]];
    for (const int input : inputs)
      if (sizes[input] != first && sizes[input] != Shape{first.n, 1, 1, first.c})
        throw Error("maps of " + first.text() + " and " + sizes[input].text());
    return first;
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() * static_cast<double>(inputs.size() + 1);
  }

  void run(Frame& frame) const override {
    const int n = frame.bytes(inputs[0]).n;
    for (const int input : inputs)
      expect(frame.bytes(input).n == n, "the maps that are added differ in number");
    const conv::Map& out = frame.begin_bytes(output, n);
    const Rounding rounding = frame.rounding(output, relu_);
    const std::size_t line = static_cast<std::size_t>(out.w) * out.c;
    const std::int64_t rows = static_cast<std::int64_t>(n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      float sums[kChunk];
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        for (std::size_t at = 0; at < line; at += kChunk) {
          const std::size_t count = std::min(kChunk, line - at);
          for (std::size_t i = 0; i < inputs.size(); ++i) {
            const conv::Map& in = frame.bytes(inputs[i]);
            const auto zero = static_cast<float>(frame.descriptions[inputs[i]].zero_point);
            const std::uint8_t* const from = in.data + image * in.image_stride;
            const auto sum = i == 0 ? frame.loops.scale : frame.loops.add_scaled;
            if (in.h == out.h && in.w == out.w)
              sum(from + y * in.row_stride + at, zero, ratios_[i], count, sums);
            else
              add_pixel(frame.loops, from, zero, ratios_[i], in.c, at, count, sums);
          }
          frame.loops.round(sums, rounding, count,
                            out.data + image * out.image_stride + y * out.row_stride + at);
        }
      }
    });
  }

 private:
  // Adds the same pixel again and again; the sums begin at number `at` of a row.
  static void add_pixel(const Loops& loops, const std::uint8_t* pixel, float zero, float ratio,
                        std::size_t channels, std::size_t at, std::size_t count, float* sums) {
    for (std::size_t done = 0; done < count;) {
      const std::size_t first = (at + done) % channels;
      const std::size_t run = std::min(channels - first, count - done);
      loops.add_scaled(pixel + first, zero, ratio, run, sums + done);
      done += run;
    }
  }

  std::vector<float> ratios_;  // scale of each map over that of the output
  bool relu_;
};

const Registered<Add> registered("Add");

}  // namespace
}  // namespace lbw
