// Class Vote: candidates whose boxes are means of all that overlap them.
#include <algorithm>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

class Vote : public Operation {
 public:
  explicit Vote(const Fields& fields)
      : Operation({fields.value("input", Kind::floats), fields.value("voters", Kind::floats)},
                  fields.value("output", Kind::floats)),
        iou_threshold_(fields.real("iou_threshold")),
        sharpness_(fields.real("sharpness")) {
    expect(sharpness_ > 0, "sharpness must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    candidates(sizes, inputs[1]);
    return {candidates(sizes, inputs[0]), 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(static_cast<double>(sizes[inputs[1]].n)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    constexpr double kOverlapAndExponential = 32;
    return sizes[inputs[0]].size() + kOverlapAndExponential *
                                         static_cast<double>(sizes[inputs[0]].n) *
                                         static_cast<double>(sizes[inputs[1]].n);
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]), voters = candidates(frame, inputs[1]);
    auto* const out = reinterpret_cast<Candidate*>(frame.begin_floats(output, rows.count).data);
    const auto scratch = frame.scratch.parts(of_thread(voters.count), frame.pool.threads());
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch memory = scratch.of(thread);
      auto* const weights = memory.take<double>(voters.count);
      auto* const near = memory.take<std::int32_t>(voters.count);
      for (std::int64_t i = begin; i < end; ++i)
        out[i] = moved(rows.data[i], voters, frame.loops, weights, near);
    });
  }

 private:
  static double of_thread(double voters) {
    return scratch_bytes<double>(voters) + scratch_bytes<std::int32_t>(voters);
  }

  Candidate moved(Candidate row, const Candidates& voters, const Loops& loops, double* weights,
                  std::int32_t* near) const {
    int count = 0;
    for (int i = 0; i < voters.count; ++i) {
      if (voters.data[i].label != row.label) continue;
      const float iou = overlap(row.box, voters.data[i].box);
      if (!(iou > iou_threshold_)) continue;
      const double apart = 1 - static_cast<double>(iou);
      near[count] = i;
      weights[count++] = -(apart * apart) / static_cast<double>(sharpness_);
    }
    loops.exponentials(weights, count);
    double total = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0;
    for (int i = 0; i < count; ++i) {
      const Candidate& voter = voters.data[near[i]];
      const double weight = weights[i] * static_cast<double>(voter.score);
      total += weight;
      x1 += weight * static_cast<double>(voter.box.x1);
      y1 += weight * static_cast<double>(voter.box.y1);
      x2 += weight * static_cast<double>(voter.box.x2);
      y2 += weight * static_cast<double>(voter.box.y2);
    }
    if (total > 0)
      row.box = {static_cast<float>(x1 / total), static_cast<float>(y1 / total),
                 static_cast<float>(x2 / total), static_cast<float>(y2 / total)};
    return row;
  }

  static float overlap(const Box& a, const Box& b) {
    const float w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
    const float h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    const float inter = std::max(w, 0.0f) * std::max(h, 0.0f);
    const float areas = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1);
    return inter / (areas - inter);  // 0 / 0 is not above any threshold
  }

  float iou_threshold_, sharpness_;
};

const Registered<Vote> registered("Vote");

}  // namespace
}  // namespace lbw
