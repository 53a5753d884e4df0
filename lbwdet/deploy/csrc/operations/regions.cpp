// Class Regions: the boxes of candidates.
#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

class Regions : public Operation {
 public:
  explicit Regions(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)) {}

  Shape shape(const Sizes& sizes) const override {
    return {candidates(sizes, inputs[0]), 1, 1, kBoxColumns};
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    auto* const boxes = reinterpret_cast<Box*>(frame.begin_floats(output, rows.count).data);
    for (std::int64_t i = 0; i < rows.count; ++i) boxes[i] = rows.data[i].box;
  }
};

const Registered<Regions> registered("Regions");

}  // namespace
}  // namespace lbw
