// Class Peaks: the scores of a map that no neighbour exceeds.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

class Peaks : public Operation {
 public:
  explicit Peaks(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)),
        before_(fields.integer("before")),
        after_(fields.integer("after")) {
    expect(before_ >= 0 && after_ >= 0, "before and after must not be negative");
  }

  Shape shape(const Sizes& sizes) const override { return sizes[inputs[0]]; }

  double scratch(const Sizes& sizes) const override {
    return scratch_bytes<float>(sizes[inputs[0]].size()) +
           scratch_bytes<double>(kBlock) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    const double side = before_ + after_ + 1.0;
    return sizes[output].size() * (kExponential + side * side);
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::FloatMap& out = frame.begin_floats(output, in.n);
    const std::int64_t numbers = static_cast<std::int64_t>(in.n) * in.image_stride;
    float* const scores = frame.scratch.take<float>(numbers);
    const auto scratch = frame.scratch.parts(scratch_bytes<double>(kBlock), frame.pool.threads());
    const std::int64_t blocks = (numbers + kBlock - 1) / kBlock;
    frame.pool.parallel(blocks, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      auto* const values = scratch.of(thread).take<double>(kBlock);
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t first = block * kBlock, count = std::min(kBlock, numbers - first);
        std::copy_n(in.data + first, count, values);
        sigmoid(values, count, frame.loops);
        for (std::int64_t i = 0; i < count; ++i)
          scores[first + i] = static_cast<float>(values[i]);
      }
    });
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row) {
        const int y = static_cast<int>(row % in.h);
        const float* const image = scores + row / in.h * in.image_stride;
        for (int x = 0; x < in.w; ++x) {
          const std::ptrdiff_t at = y * in.row_stride + static_cast<std::ptrdiff_t>(x) * in.c;
          float* const to = out.data + row / in.h * in.image_stride + at;
          std::copy_n(image + at, in.c, to);
          for (int i = std::max(y - before_, 0); i <= std::min(y + after_, in.h - 1); ++i)
            for (int j = std::max(x - before_, 0); j <= std::min(x + after_, in.w - 1); ++j)
              keep(image + i * in.row_stride + static_cast<std::ptrdiff_t>(j) * in.c, in.c, to);
        }
      }
    });
  }

 private:
  static constexpr std::int64_t kBlock = 256;

  // Scores below those of a neighbour become 0, which is below no other.
  static void keep(const float* neighbour, int count, float* scores) {
    for (int c = 0; c < count; ++c) scores[c] = scores[c] < neighbour[c] ? 0.0f : scores[c];
  }

  int before_, after_;
};

const Registered<Peaks> registered("Peaks");

}  // namespace
}  // namespace lbw
