// Class LineBuckets: numbers along regions, as those of the buckets of four sides.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class LineBuckets : public Operation {
 public:
  explicit LineBuckets(const Fields& fields)
      : Operation({fields.value("across", Kind::floats), fields.value("down", Kind::floats)},
                  fields.value("output", Kind::floats)) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape &across = sizes[inputs[0]], &down = sizes[inputs[1]];
    if (across.h != 1 || down != Shape{across.n, across.w, 1, across.c})
      throw Error("numbers of " + across.text() + " and of " + down.text());
    return {across.n, 1, 1, 4 * half(across.w * across.c)};
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &across = frame.floats(inputs[0]), &down = frame.floats(inputs[1]);
    expect(across.n == down.n, "they differ in number");
    const conv::FloatMap& out = frame.begin_floats(output, across.n);
    const std::int64_t count = static_cast<std::int64_t>(across.w) * across.c;
    for (std::int64_t image = 0; image < across.n; ++image) {
      float* to = out.data + image * out.image_stride;
      for (const conv::FloatMap* line : {&across, &down}) {
        const float* const from = line->data + image * line->image_stride;
        to = std::copy_n(from, half(count), to);
        to = std::reverse_copy(from + count - half(count), from + count, to);
      }
    }
  }

 private:
  static std::int64_t half(std::int64_t count) { return (count + 1) / 2; }
};

const Registered<LineBuckets> registered("LineBuckets");

}  // namespace
}  // namespace lbw
