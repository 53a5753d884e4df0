// Class SoftSuppress: candidates that overlap a better one lose score.
#include <algorithm>
#include <cmath>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr double kLeastExponent = -700;

float overlap(const Box& a, const Box& b) {
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const float common = std::max(width, 0.0f) * std::max(height, 0.0f);
  const float of_a = (a.x2 - a.x1) * (a.y2 - a.y1), of_b = (b.x2 - b.x1) * (b.y2 - b.y1);
  const float quotient = common / (of_a + of_b - common);
  return quotient == quotient ? quotient : 0;  // of two empty boxes, or of boxes without end
}

class SoftSuppress : public Operation {
 public:
  explicit SoftSuppress(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)),
        iou_threshold_(fields.real("iou_threshold")),
        sigma_(fields.real("sigma")),
        min_score_(fields.real("min_score")),
        max_boxes_(fields.integer("max_boxes")) {
    expect(max_boxes_ > 0, "max_boxes must be positive");
    expect(sigma_ > 0, "sigma must be positive");
    const std::string method = fields.text("method"), group = fields.text("group");
    gaussian_ = method == "gaussian";
    linear_ = method == "linear";
    by_class_ = group == "class";
    if (!gaussian_ && !linear_ && method != "naive")
      throw Error("this build has no suppression " + method);
    if (!by_class_ && group != "all") throw Error("this build has no groups by " + group);
  }

  Shape shape(const Sizes& sizes) const override {
    return {std::min(candidates(sizes, inputs[0]), max_boxes_), 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    const auto count = static_cast<double>(sizes[inputs[0]].n);
    return 2 * scratch_bytes<std::uint32_t>(count) + scratch_bytes<float>(count) +
           scratch_bytes<double>(count) + scratch_bytes<std::uint64_t>(count);
  }

  double work(const Sizes& sizes) const override {
    // Each kept box meets the rest of its group, each a dozen operations, or an exponential.
    const auto count = static_cast<double>(sizes[inputs[0]].n);
    const double kept = std::min(count, static_cast<double>(max_boxes_));
    return (gaussian_ ? 30 : 10) * kept * count + count * std::log2(count + 1);
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    const auto count = static_cast<std::size_t>(rows.count);
    auto* const members = frame.scratch.take<std::uint32_t>(count);
    auto* const left = frame.scratch.take<std::uint32_t>(count);
    auto* const scores = frame.scratch.take<float>(count);
    auto* const weights = frame.scratch.take<double>(count);
    auto* const kept = frame.scratch.take<std::uint64_t>(count);
    for (std::size_t i = 0; i < count; ++i) {
      members[i] = static_cast<std::uint32_t>(i);
      scores[i] = rows.data[i].score;
    }
    if (by_class_)
      std::sort(members, members + count, [&](std::uint32_t a, std::uint32_t b) {
        const float of_a = rows.data[a].label, of_b = rows.data[b].label;
        return of_a != of_b ? of_a < of_b : a < b;
      });
    std::size_t found = 0;
    for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
      const auto same = [&](std::uint32_t i) {
        return !by_class_ || rows.data[i].label == rows.data[members[begin]].label;
      };
      for (end = begin + 1; end < count && same(members[end]); ++end) {
      }
      std::copy(members + begin, members + end, left);
      found += keep(frame, rows.data, left, end - begin, scores, weights, kept + found);
    }
    std::sort(kept, kept + found);
    found = std::min(found, static_cast<std::size_t>(max_boxes_));
    auto* const out = reinterpret_cast<Candidate*>(
        frame.begin_floats(output, static_cast<int>(found)).data);
    for (std::size_t i = 0; i < found; ++i) {
      out[i] = rows.data[ranked_index(kept[i])];
      out[i].score = ranked_score(kept[i]);
    }
  }

 private:
  // Writes the ranks of those of a group that are kept; returns how many. No group needs to keep
  // more than max_boxes: scores never grow.
  std::size_t keep(const Frame& frame, const Candidate* rows, std::uint32_t* left,
                   std::size_t count, float* scores, double* weights, std::uint64_t* kept) const {
    std::size_t found = 0;
    while (count > 0 && found < static_cast<std::size_t>(max_boxes_)) {
      frame.pool.check();
      std::uint32_t* const at = std::max_element(
          left, left + count,
          [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; });
      const std::uint32_t best = *at;
      kept[found++] = rank(scores[best], best);
      std::copy(at + 1, left + count, at);
      weigh(rows[best].box, rows, left, --count, frame.loops, weights);
      std::size_t stay = 0;
      for (std::size_t i = 0; i < count; ++i) {
        scores[left[i]] *= static_cast<float>(weights[i]);
        if (!(scores[left[i]] < min_score_)) left[stay++] = left[i];
      }
      count = stay;
    }
    return found;
  }

  void weigh(const Box& best, const Candidate* rows, const std::uint32_t* left, std::size_t count,
             const Loops& loops, double* weights) const {
    for (std::size_t i = 0; i < count; ++i) {
      const float iou = overlap(best, rows[left[i]].box);
      if (gaussian_)
        weights[i] = std::max<double>(-(iou * iou) / sigma_, kLeastExponent);
      else
        weights[i] = !(iou >= iou_threshold_) ? 1.0f : linear_ ? 1.0f - iou : 0.0f;
    }
    if (gaussian_) loops.exponentials(weights, count);
  }

  float iou_threshold_, sigma_, min_score_;
  std::int64_t max_boxes_;
  bool gaussian_, linear_, by_class_;
};

const Registered<SoftSuppress> registered("SoftSuppress");

}  // namespace
}  // namespace lbw
