// Class Refine: boxes moved by one stage of a cascade.
#include <algorithm>

#include "../arithmetic/candidates.h"
#include "../arithmetic/coder.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs{fields.value("deltas", Kind::floats), fields.value("boxes", Kind::floats)};
  if (fields.has("scores")) inputs.push_back(fields.value("scores", Kind::floats));
  return inputs;
}

class Refine : public Operation {
 public:
  explicit Refine(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::floats)),
        classes_(fields.integer("num_classes")),
        coder_(fields) {
    expect(classes_ == 1 || inputs.size() > 2, "deltas of classes, without scores");
    expect(classes_ > 0, "num_classes must be positive");
    expect(coder_.numbers() == 4, "a coder of other than 4 numbers");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &deltas = sizes[inputs[0]], &boxes = sizes[inputs[1]];
    if (deltas != Shape{boxes.n, 1, 1, 4 * classes_} || boxes != Shape{boxes.n, 1, 1, kBoxColumns})
      throw Error("deltas of " + deltas.text() + " and boxes of " + boxes.text());
    if (inputs.size() > 2) {
      const Shape& scores = sizes[inputs[2]];
      if (scores != Shape{boxes.n, 1, 1, scores.c} || scores.c < classes_)
        throw Error("scores of " + scores.text() + " for boxes of " + boxes.text());
    }
    return boxes;
  }

  double work(const Sizes& sizes) const override {
    constexpr double kDecoding = 64;
    return sizes[inputs[1]].n * (kDecoding + static_cast<double>(classes_));
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &deltas = frame.floats(inputs[0]), &boxes = frame.floats(inputs[1]);
    expect(deltas.n == boxes.n, "deltas and boxes differ in number");
    const conv::FloatMap* const scores = inputs.size() > 2 ? &frame.floats(inputs[2]) : nullptr;
    if (scores != nullptr) expect(scores->n == boxes.n, "scores and boxes differ in number");
    auto* const out = reinterpret_cast<Box*>(frame.begin_floats(output, boxes.n).data);
    std::copy_n(reinterpret_cast<const Box*>(boxes.data), boxes.n, out);
    frame.pool.parallel(boxes.n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
      const float* chosen[kBlock] = {};
      for (std::int64_t i = begin; i < end; ++i) {
        std::int64_t label = 0;
        if (scores != nullptr) {
          const float* const row = scores->data + i * scores->image_stride;
          label = std::max_element(row, row + classes_) - row;  // the first of equals
        }
        chosen[i - begin] = deltas.data + i * deltas.image_stride + 4 * label;
      }
      coder_.decode(out + begin, chosen, static_cast<int>(end - begin), frame.bounds.height,
                    frame.bounds.width, frame.loops);
    });
  }

 private:
  static constexpr int kBlock = 64;

  std::int64_t classes_;
  Coder coder_;
};

const Registered<Refine> registered("Refine");

}  // namespace
}  // namespace lbw
