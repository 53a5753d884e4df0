// Class Maximum: the larger of two maps' numbers.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr std::int64_t kChunk = 1024;  // numbers that are real for a while

class Maximum : public Operation {
 public:
  explicit Maximum(const Fields& fields)
      : Operation({fields.value("first", Kind::bytes), fields.value("second", Kind::bytes)},
                  fields.value("output", Kind::bytes)) {
    const auto ratios = fields.floats("ratios", 2);
    std::copy(ratios.begin(), ratios.end(), ratios_);
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &first = sizes[inputs[0]], &second = sizes[inputs[1]];
    if (first != second) throw Error("maps of " + first.text() + " and " + second.text());
    return first;
  }

  double work(const Sizes& sizes) const override { return 3 * sizes[output].size(); }

  void run(Frame& frame) const override {
    const conv::Map &first = frame.bytes(inputs[0]), &second = frame.bytes(inputs[1]);
    expect(first.n == second.n, "the maps differ in number");
    const conv::Map& out = frame.begin_bytes(output, first.n);
    const Rounding rounding = frame.rounding(output);
    float zeros[2];
    for (int i = 0; i < 2; ++i)
      zeros[i] = static_cast<float>(frame.descriptions[inputs[i]].zero_point);
    const std::int64_t line = std::int64_t{out.w} * out.c;
    const std::int64_t rows = std::int64_t{out.n} * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      float reals[kChunk], others[kChunk];
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const std::uint8_t* const a = row(first, image, y);
        const std::uint8_t* const b = row(second, image, y);
        std::uint8_t* const to = row(out, image, y);
        for (std::int64_t i = 0; i < line; i += kChunk) {
          const auto count = static_cast<std::size_t>(std::min(kChunk, line - i));
          frame.loops.scale(a + i, zeros[0], ratios_[0], count, reals);
          frame.loops.scale(b + i, zeros[1], ratios_[1], count, others);
          for (std::size_t k = 0; k < count; ++k) reals[k] = std::max(reals[k], others[k]);
          frame.loops.round(reals, rounding, count, to + i);
        }
      }
    });
  }

 private:
  static std::uint8_t* row(const conv::Map& map, std::int64_t image, std::int64_t y) {
    return map.data + image * map.image_stride + y * map.row_stride;
  }

  float ratios_[2];  // scales of the inputs over that of the output
};

const Registered<Maximum> registered("Maximum");

}  // namespace
}  // namespace lbw
