// Class Rescore: candidates with another score.
#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

class Rescore : public Operation {
 public:
  explicit Rescore(const Fields& fields)
      : Operation({fields.value("input", Kind::floats), fields.value("factors", Kind::floats)},
                  fields.value("output", Kind::floats)) {}

  Shape shape(const Sizes& sizes) const override {
    const std::int64_t rows = candidates(sizes, inputs[0]);
    const Shape& factors = sizes[inputs[1]];
    if (factors.n != rows || factors.h != 1 || factors.w != 1 || factors.c < 1)
      throw Error("factors of " + factors.text() + " are not some for each candidate");
    return {rows, 1, 1, kCandidateColumns};
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    const conv::FloatMap& factors = frame.floats(inputs[1]);
    expect(factors.n == rows.count, "factors and candidates differ in number");
    auto* const out = reinterpret_cast<Candidate*>(frame.begin_floats(output, rows.count).data);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const float label = rows.data[i].label;
      const bool is_class = label >= 0 && label < static_cast<float>(factors.c);
      out[i] = rows.data[i];
      out[i].score *=
          factors.data[i * factors.image_stride + (is_class ? static_cast<int>(label) : 0)];
    }
  }
};

const Registered<Rescore> registered("Rescore");

}  // namespace
}  // namespace lbw
