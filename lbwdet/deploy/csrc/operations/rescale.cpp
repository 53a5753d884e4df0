// Class Rescale: candidates in pixels of the original image.
#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

float factor(int resized, int original) {
  return 1.0f / static_cast<float>(static_cast<double>(resized) / original);
}

class Rescale : public Operation {
 public:
  explicit Rescale(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)) {}

  Shape shape(const Sizes& sizes) const override {
    return {candidates(sizes, inputs[0]), 1, 1, kCandidateColumns};
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    auto* const out = reinterpret_cast<Candidate*>(frame.begin_floats(output, rows.count).data);
    const float x = factor(frame.resized.width, frame.image.size.width);
    const float y = factor(frame.resized.height, frame.image.size.height);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      out[i] = rows.data[i];
      const Box& box = rows.data[i].box;
      out[i].box = {box.x1 * x, box.y1 * y, box.x2 * x, box.y2 * y};
    }
  }
};

const Registered<Rescale> registered("Rescale");

}  // namespace
}  // namespace lbw
