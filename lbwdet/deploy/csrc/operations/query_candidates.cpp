// Class QueryCandidates: the best boxes of queries.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "../arithmetic/proposals.h"
#include "operation.h"

namespace lbw {
namespace {

// Scores, boxes, then the numbers of the queries that count, if not all do.
std::vector<int> read(const Fields& fields) {
  std::vector<int> inputs{fields.value("scores", Kind::floats),
                          fields.value("boxes", Kind::floats)};
  if (fields.has("among")) inputs.push_back(fields.value("among", Kind::floats));
  return inputs;
}

class QueryCandidates : public Operation {
 public:
  explicit QueryCandidates(const Fields& fields)
      : Operation(read(fields), fields.value("output", Kind::floats)),
        classes_(fields.integer("num_classes")),
        most_(fields.integer("max_boxes")) {
    expect(classes_ > 0 && most_ > 0, "num_classes and max_boxes must be positive");
    const std::string activation = fields.text("activation");
    softmax_ = activation == "softmax";
    if (!softmax_ && activation != "sigmoid")
      throw Error("this build has no activation " + activation);
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &scores = sizes[inputs[0]], &boxes = sizes[inputs[1]];
    if (scores != Shape{1, boxes.h, boxes.w, columns()} || boxes != Shape{1, boxes.h, boxes.w, 4})
      throw Error("scores of " + scores.text() + " and boxes of " + boxes.text() + " for " +
                  std::to_string(classes_) + " classes");
    if (some() && sizes[inputs[2]] != Shape{1, 1, sizes[inputs[2]].w, 1})
      throw Error("numbers of " + sizes[inputs[2]].text());
    if (1.0 * boxes.h * boxes.w * classes_ >= 4294967295.0) throw Error("too many queries");
    return {std::min(most_, ranked(boxes)), 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& boxes = sizes[inputs[1]];
    const auto count = static_cast<double>(ranked(boxes));
    const double queries = static_cast<double>(boxes.h) * static_cast<double>(boxes.w);
    return scratch_bytes<std::uint8_t>(queries) + scratch_bytes<std::uint64_t>(count) + scratch_bytes<float>(count) +
           scratch_bytes<double>(static_cast<double>(std::max<std::int64_t>(columns(), 4))) +
           scratch_bytes<float>(static_cast<double>(columns()));
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    return sizes[inputs[0]].size() * kExponential + sizes[output].size();
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &logits = frame.floats(inputs[0]), &boxes = frame.floats(inputs[1]);
    const std::int64_t queries = static_cast<std::int64_t>(boxes.h) * boxes.w;
    std::int64_t count = ranked({1, boxes.h, boxes.w, 4});
    const std::int64_t columns = this->columns();
    auto* const ranks = frame.scratch.take<std::uint64_t>(count);
    float* const labels = frame.scratch.take<float>(count);
    double* const terms = frame.scratch.take<double>(std::max<std::int64_t>(columns, 4));
    float* const scores = frame.scratch.take<float>(columns);
    auto* const counts = frame.scratch.take<std::uint8_t>(queries);
    std::fill_n(counts, queries, std::uint8_t{1});
    if (some()) mark_counted(frame.floats(inputs[2]), queries, counts);
    count = 0;
    for (std::int64_t query = 0; query < queries; ++query) {
      if (!counts[query]) continue;
      const float* const given =
          logits.data + query / logits.w * logits.row_stride + query % logits.w * columns;
      if (softmax_) {
        softmax(given, columns, frame.loops, terms, scores);
        const float* const best = std::max_element(scores, scores + classes_);
        labels[query] = static_cast<float>(best - scores);
        ranks[count++] = rank(*best, static_cast<std::uint32_t>(query));
        continue;
      }
      for (std::int64_t i = 0; i < classes_; ++i) terms[i] = static_cast<double>(given[i]);
      sigmoid(terms, classes_, frame.loops);
      for (std::int64_t i = 0; i < classes_; ++i) {
        const std::int64_t pair = query * classes_ + i;
        labels[pair] = static_cast<float>(i);
        ranks[count++] = rank(static_cast<float>(terms[i]), static_cast<std::uint32_t>(pair));
      }
    }
    const std::int64_t kept = std::min(most_, count);
    std::partial_sort(ranks, ranks + kept, ranks + count);
    auto* const out = reinterpret_cast<Candidate*>(
        frame.begin_floats(output, static_cast<int>(kept)).data);
    const auto width = static_cast<float>(frame.bounds.width);
    const auto height = static_cast<float>(frame.bounds.height);
    for (std::int64_t i = 0; i < kept; ++i) {
      const std::int64_t index = ranked_index(ranks[i]);
      const std::int64_t query = softmax_ ? index : index / classes_;
      const float* const given =
          boxes.data + query / boxes.w * boxes.row_stride + query % boxes.w * 4;
      for (int k = 0; k < 4; ++k) terms[k] = static_cast<double>(given[k]);
      sigmoid(terms, 4, frame.loops);
      const auto x = static_cast<float>(terms[0]), y = static_cast<float>(terms[1]);
      const float w = 0.5f * static_cast<float>(terms[2]), h = 0.5f * static_cast<float>(terms[3]);
      out[i] = {{within((x - w) * width, width), within((y - h) * height, height),
                 within((x + w) * width, width), within((y + h) * height, height)},
                ranked_score(ranks[i]), labels[index], 0};
    }
  }

 private:
  static float within(float value, float end) {
    value = value > 0 ? value : 0;
    return value < end ? value : end;
  }

  bool some() const { return inputs.size() > 2; }

  std::int64_t columns() const { return classes_ + (softmax_ ? 1 : 0); }

  // How many scores there are to choose from.
  std::int64_t ranked(const Shape& boxes) const {
    return boxes.h * boxes.w * (softmax_ ? 1 : classes_);
  }

  std::int64_t classes_, most_;
  bool softmax_;
};

const Registered<QueryCandidates> registered("QueryCandidates");

}  // namespace
}  // namespace lbw
