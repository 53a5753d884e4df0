// Class Refold: a float map's first numbers as a map of another size.
#include "operation.h"

namespace lbw {
namespace {

class Refold : public Operation {
 public:
  explicit Refold(const Fields& fields)
      : Operation({fields.value("input", Kind::floats), fields.value("like", Kind::map)},
                  fields.value("output", Kind::floats)) {
    for (const std::int32_t count : fields.integers("parts")) {
      expect(count > 0, "a part has no channels");
      parts_.push_back(count);
    }
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &like = sizes[inputs[1]];
    std::int64_t channels = 0;
    for (const std::int64_t count : parts_) channels += count;
    if (channels != in.c || like.h * like.w > in.h * in.w || like.n != in.n)
      throw Error("a map of " + in.text() + " in the size of " + like.text());
    return {in.n, like.h, like.w, in.c};
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::FloatMap& out = frame.begin_floats(output, in.n);
    const std::int64_t rows = std::int64_t{out.n} * out.h, size = std::int64_t{out.h} * out.w;
    const std::int64_t pixels = std::int64_t{in.h} * in.w;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        const float* const map = in.data + image * in.image_stride;
        float* to = out.data + image * out.image_stride + y * out.row_stride;
        for (std::int64_t x = 0; x < out.w; ++x, to += out.pixel_stride()) {
          std::int64_t first = 0;
          for (const std::int64_t count : parts_) {
            for (std::int64_t c = 0; c < count; ++c) {
              const std::int64_t place = c * size + y * out.w + x;  // channel, row, column
              const std::int64_t pixel = place % pixels;
              to[first + c] = map[pixel / in.w * in.row_stride + pixel % in.w * in.pixel_stride() +
                                  first + place / pixels];
            }
            first += count;
          }
        }
      }
    });
  }

 private:
  std::vector<std::int64_t> parts_;
};

const Registered<Refold> registered("Refold");

}  // namespace
}  // namespace lbw
