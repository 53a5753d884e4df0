// Class OfCandidates: for each candidate, what is known of the box that it was made of.
#include <cstring>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

class OfCandidates : public Operation {
 public:
  explicit OfCandidates(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("candidates", Kind::floats)},
                  fields.value("output", Kind::bytes)) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape& known = sizes[inputs[0]];
    if (known.h != 1 || known.w != 1)
      throw Error("a map of " + known.text() + " is not one pixel for each box");
    return {candidates(sizes, inputs[1]), 1, 1, known.c};
  }

  void run(Frame& frame) const override {
    const conv::Map& known = frame.bytes(inputs[0]);
    const auto rows = candidates(frame, inputs[1]);
    const conv::Map& out = frame.begin_bytes(output, rows.count);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const float number = rows.data[i].level;
      expect(number >= 0 && number < static_cast<float>(known.n), "a candidate of another box");
      std::memcpy(out.data + i * out.image_stride,
                  known.data + static_cast<std::int64_t>(number) * known.image_stride, known.c);
    }
  }
};

const Registered<OfCandidates> registered("OfCandidates");

}  // namespace
}  // namespace lbw
