// Class Detections: candidates as the result.
#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

class Detections : public Operation {
 public:
  explicit Detections(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, -1) {}

  Shape shape(const Sizes& sizes) const override {
    candidates(sizes, inputs[0]);
    return {};
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    frame.detections.clear();
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const Candidate& row = rows.data[i];
      const bool is_label = row.label >= 0 && row.label < 1 << 24;
      frame.detections.push_back({{row.box.x1, row.box.y1, row.box.x2, row.box.y2},
                                  row.score,
                                  is_label ? static_cast<std::int64_t>(row.label) : -1});
    }
  }
};

const Registered<Detections> registered("Detections");

}  // namespace
}  // namespace lbw
