// Class NextDeltas: deltas of boxes that others have moved, as deltas of the first boxes.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr float kLargestExponent = 40;

class NextDeltas : public Operation {
 public:
  explicit NextDeltas(const Fields& fields)
      : Operation({fields.value("first", Kind::floats), fields.value("second", Kind::floats)},
                  fields.value("output", Kind::floats)),
        least_(fields.real("least")) {
    expect(least_ <= 0, "the least exponent is above 0");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &first = sizes[inputs[0]], &second = sizes[inputs[1]];
    if (first != second || first.n != 1 || first.c != 4)
      throw Error("deltas of " + first.text() + " and " + second.text());
    return first;
  }

  double work(const Sizes& sizes) const override { return 16 * sizes[output].size(); }

  void run(Frame& frame) const override {
    const conv::FloatMap &first = frame.floats(inputs[0]), &second = frame.floats(inputs[1]);
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    frame.pool.parallel(out.h, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t y = begin; y < end; ++y)
        for (std::int64_t x = 0; x < out.w; ++x)
          pixel(at(first, y, x), at(second, y, x), frame.loops, at(out, y, x));
    });
  }

 private:
  static float* at(const conv::FloatMap& map, std::int64_t y, std::int64_t x) {
    return map.data + y * map.row_stride + x * map.pixel_stride();
  }

  void pixel(const float* a, const float* b, const Loops& loops, float* out) const {
    float stretch[2];
    double powers[2];
    for (int i = 0; i < 2; ++i)
      powers[i] = stretch[i] = std::clamp(a[i + 2], least_, kLargestExponent);
    loops.exponentials(powers, 2);
    for (int i = 0; i < 2; ++i) {
      const float moved = static_cast<float>(powers[i]) * b[i];  // rounded by itself
      out[i] = a[i] + moved;
      out[i + 2] = stretch[i] + b[i + 2];
    }
  }

  float least_;
};

const Registered<NextDeltas> registered("NextDeltas");

}  // namespace
}  // namespace lbw
