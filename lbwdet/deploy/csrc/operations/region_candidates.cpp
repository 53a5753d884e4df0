// Class RegionCandidates: boxes of each class from a region head.
#include <algorithm>

#include "../arithmetic/candidates.h"
#include "../arithmetic/coder.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs{fields.value("scores", Kind::floats),
                          fields.value("deltas", Kind::floats),
                          fields.value("boxes", Kind::floats)};
  if (fields.has("factors")) inputs.push_back(fields.value("factors", Kind::floats));
  return inputs;
}

class RegionCandidates : public Operation {
 public:
  explicit RegionCandidates(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::floats)),
        classes_(fields.integer("num_classes")),
        class_agnostic_(fields.flag("class_agnostic")),
        coder_(fields),
        threshold_(fields.real("score_threshold")),
        best_(fields.integer("best")),
        numbered_(fields.flag("numbered")) {
    expect(classes_ > 0, "num_classes must be positive");
    expect(best_ >= 0, "best is negative");
    const std::string activation = fields.text("activation");
    seesaw_ = activation == "seesaw";
    sigmoid_ = activation == "sigmoid";
    if (!seesaw_ && !sigmoid_ && activation != "softmax")
      throw Error("this build has no activation " + activation);
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &scores = sizes[inputs[0]], &deltas = sizes[inputs[1]], &boxes = sizes[inputs[2]];
    if (scores != Shape{boxes.n, 1, 1, columns()} ||
        deltas != Shape{boxes.n, 1, 1, coder_.numbers() * (class_agnostic_ ? 1 : classes_)} ||
        boxes != Shape{boxes.n, 1, 1, kBoxColumns})
      throw Error("scores of " + scores.text() + ", deltas of " + deltas.text() +
                  " and boxes of " + boxes.text() + " for " + std::to_string(classes_) +
                  " classes");
    if (best_ && 1.0 * boxes.n * classes_ >= 4294967295.0) throw Error("too many pairs to rank");
    if (inputs.size() > 3 && sizes[inputs[3]] != Shape{boxes.n, 1, 1, 1})
      throw Error("factors of " + sizes[inputs[3]].text() + " for boxes of " + boxes.text());
    return {rows(boxes.n), 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    const auto count = static_cast<double>(sizes[inputs[2]].n);
    return scratch_bytes<float>(count * static_cast<double>(columns())) +
           scratch_bytes<std::int64_t>(count) + of_thread() * sizes.threads +
           (best_ ? scratch_bytes<std::uint64_t>(count * static_cast<double>(classes_)) : 0);
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    const Shape& out = sizes[output];
    return sizes[inputs[0]].size() * kExponential + out.size() + coder_.work() * out.n;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &logits = frame.floats(inputs[0]), &deltas = frame.floats(inputs[1]),
                         &boxes = frame.floats(inputs[2]);
    const int count = boxes.n;
    expect(logits.n == count && deltas.n == count, "scores, deltas and boxes differ in number");
    if (inputs.size() > 3)
      expect(frame.floats(inputs[3]).n == count, "factors and boxes differ in number");
    const std::int64_t columns = this->columns();
    auto* const scores = frame.scratch.take<float>(count * columns);
    auto* const begins = frame.scratch.take<std::int64_t>(count);  // rows of a box; the first one
    const auto scratch = frame.scratch.parts(of_thread(), frame.pool.threads());
    frame.pool.parallel(count, kGrain, [&](std::int64_t begin, std::int64_t end, int thread) {
      auto* const terms = scratch.of(thread).take<double>(columns);
      for (std::int64_t i = begin; i < end; ++i) {
        float* const row = scores + i * columns;
        activate(logits.data + i * logits.image_stride, frame.loops, terms, row);
        begins[i] =
            std::count_if(row, row + classes_, [&](float score) { return score > threshold_; });
      }
    });
    if (best_) return best(frame, scores);
    std::int64_t total = 0;
    for (int i = 0; i < count; ++i) {
      const std::int64_t rows = begins[i];
      begins[i] = total;
      total += rows;
    }
    auto* const out = reinterpret_cast<Candidate*>(
        frame.begin_floats(output, static_cast<int>(total)).data);
    frame.pool.parallel(count, kGrain, [&](std::int64_t begin, std::int64_t end, int) {
      Block block{out + begins[begin]};
      for (std::int64_t i = begin; i < end; ++i)
        for (std::int64_t label = 0; label < classes_; ++label) {
          const float score = scores[i * columns + label];
          if (score > threshold_) add(block, i, label, score, frame);
        }
      finish(block, frame);
    });
  }

 private:
  static constexpr std::int64_t kGrain = 64;
  static constexpr int kBlock = 64;

  // Rows that are decoded together.
  struct Block {
    Candidate* rows;
    int count = 0;
    Box boxes[kBlock] = {};
    const float* deltas[kBlock] = {};
  };

  std::int64_t rows(std::int64_t boxes) const {
    const std::int64_t all = boxes * classes_;
    return best_ ? std::min(all, best_) : all;
  }

  // The best pairs of all.
  void best(Frame& frame, const float* scores) const {
    const std::int64_t count = frame.floats(inputs[2]).n, columns = this->columns();
    auto* const ranks = frame.scratch.take<std::uint64_t>(count * classes_);
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t label = 0; label < classes_; ++label) {
        const float score = scores[i * columns + label];
        if (score > threshold_)
          ranks[found++] = rank(score, static_cast<std::uint32_t>(i * classes_ + label));
      }
    const std::int64_t kept = std::min(found, best_);
    std::partial_sort(ranks, ranks + kept, ranks + found);
    Block block{reinterpret_cast<Candidate*>(
        frame.begin_floats(output, static_cast<int>(kept)).data)};
    for (std::int64_t k = 0; k < kept; ++k) {
      const std::int64_t pair = ranked_index(ranks[k]), i = pair / classes_, label = pair % classes_;
      add(block, i, label, scores[i * columns + label], frame);
    }
    finish(block, frame);
  }

  void add(Block& block, std::int64_t i, std::int64_t label, float score,
           const Frame& frame) const {
    const conv::FloatMap &deltas = frame.floats(inputs[1]), &boxes = frame.floats(inputs[2]);
    if (inputs.size() > 3) {
      const conv::FloatMap& factors = frame.floats(inputs[3]);
      score *= factors.data[i * factors.image_stride];
    }
    block.boxes[block.count] = reinterpret_cast<const Box*>(boxes.data)[i];
    block.deltas[block.count] =
        deltas.data + i * deltas.image_stride + (class_agnostic_ ? 0 : coder_.numbers() * label);
    block.rows[block.count++] = {
        {}, score, static_cast<float>(label), numbered_ ? static_cast<float>(i) : 0};
    if (block.count == kBlock) finish(block, frame);
  }

  void finish(Block& block, const Frame& frame) const {
    frame.pool.check();
    coder_.decode(block.boxes, block.deltas, block.count, frame.bounds.height,
                  frame.bounds.width, frame.loops);
    for (int i = 0; i < block.count; ++i) block.rows[i].box = block.boxes[i];
    block.rows += block.count;
    block.count = 0;
  }

  std::int64_t columns() const { return classes_ + (seesaw_ ? 2 : sigmoid_ ? 0 : 1); }

  // Scores of the classes, and of the rest whatever there is.
  void activate(const float* logits, const Loops& loops, double* terms, float* scores) const {
    if (sigmoid_) {
      std::copy_n(logits, classes_, terms);
      sigmoid(terms, classes_, loops);
      std::copy_n(terms, classes_, scores);
      return;
    }
    if (!seesaw_) {
      softmax(logits, columns(), loops, terms, scores);
      return;
    }
    softmax(logits, classes_, loops, terms, scores);
    softmax(logits + classes_, 2, loops, terms, scores + classes_);
    for (std::int64_t label = 0; label < classes_; ++label) scores[label] *= scores[classes_];
  }

  double of_thread() const { return scratch_bytes<double>(static_cast<double>(columns())); }

  std::int64_t classes_;
  bool class_agnostic_;
  Coder coder_;
  float threshold_;
  std::int64_t best_;  // 0: all
  bool numbered_, seesaw_, sigmoid_;
};

const Registered<RegionCandidates> registered("RegionCandidates");

}  // namespace
}  // namespace lbw
