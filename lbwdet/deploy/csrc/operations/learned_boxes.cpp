// Class LearnedBoxes: boxes that are the same share of every image.
#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

class LearnedBoxes : public Operation {
 public:
  explicit LearnedBoxes(const Fields& fields)
      : Operation({}, fields.value("output", Kind::floats)), places_(fields.floats("places")) {
    expect(!places_.empty() && places_.size() % 4 == 0, "a box has four numbers");
  }

  Shape shape(const Sizes&) const override { return {count(), 1, 1, kBoxColumns}; }

  void run(Frame& frame) const override {
    const auto width = static_cast<float>(frame.bounds.width);
    const auto height = static_cast<float>(frame.bounds.height);
    auto* const out = reinterpret_cast<Box*>(
        frame.begin_floats(output, static_cast<int>(count())).data);
    for (std::int64_t i = 0; i < count(); ++i) {
      const float* const place = places_.data() + 4 * i;
      const float x = place[0], y = place[1], half_w = 0.5f * place[2], half_h = 0.5f * place[3];
      out[i] = {(x - half_w) * width, (y - half_h) * height, (x + half_w) * width,
                (y + half_h) * height};
    }
  }

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(places_.size() / 4); }

  std::vector<float> places_;  // of each box the middle, the width and the height
};

const Registered<LearnedBoxes> registered("LearnedBoxes");

}  // namespace
}  // namespace lbw
