// Class MatrixSuppress: candidates by their masks.
#include <algorithm>
#include <cmath>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr double kWhole = 16777216;  // 2**24

// A candidate whose mask is large enough.
struct Member {
  Candidate row;
  std::int64_t index, area;
};

class MatrixSuppress : public Operation {
 public:
  explicit MatrixSuppress(const Fields& fields)
      : Operation({fields.value("input", Kind::floats), fields.value("masks", Kind::floats)},
                  fields.value("output", Kind::floats)),
        least_areas_(fields.floats("least_areas")),
        threshold_(fields.real("mask_threshold")),
        score_threshold_(fields.real("score_threshold")),
        sigma_(fields.real("sigma")),
        max_masks_(fields.integer("max_masks")),
        max_boxes_(fields.integer("max_boxes")) {
    std::int64_t end = 0;
    for (const int count : fields.integers("counts")) ends_.push_back(end += count);
    expect(!ends_.empty() && ends_.size() == least_areas_.size(), "every level needs a least area");
    expect(max_masks_ > 0 && max_boxes_ > 0, "max_masks and max_boxes must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const std::int64_t count = candidates(sizes, inputs[0]);
    const Shape& masks = sizes[inputs[1]];
    if (masks.n != count || masks.c != 1)
      throw Error("masks of " + masks.text() + " for " + std::to_string(count) + " candidates");
    return {std::min({count, max_masks_, max_boxes_}), 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& masks = sizes[inputs[1]];
    const double count = static_cast<double>(masks.n), kept = most(count);
    return 2 * scratch_bytes<Member>(count) + scratch_bytes<std::uint64_t>(count) +
           scratch_bytes<std::uint64_t>(kept * words(masks.h, masks.w)) +
           scratch_bytes<float>(kept * kept) + scratch_bytes<double>(kept);
  }

  double work(const Sizes& sizes) const override {
    const Shape& masks = sizes[inputs[1]];
    const double kept = most(static_cast<double>(masks.n));
    return 2 * masks.size() + kept * kept * (1 + words(masks.h, masks.w));
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    const conv::FloatMap& masks = frame.floats(inputs[1]);
    expect(masks.n == rows.count, "masks and candidates differ in number");
    const std::int64_t pixels = static_cast<std::int64_t>(masks.h) * masks.w;
    auto* const all = frame.scratch.take<Member>(rows.count);
    auto* const best = frame.scratch.take<Member>(rows.count);
    auto* const ranks = frame.scratch.take<std::uint64_t>(rows.count);
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i)
        all[i] = member(rows.data[i], i, masks.data + i * masks.image_stride, pixels);
    });
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < rows.count; ++i)
      if (static_cast<double>(all[i].area) > least_area(all[i].row.level)) {
        all[count] = all[i];
        ranks[count] = rank(all[count].row.score, static_cast<std::uint32_t>(count));
        ++count;
      }
    std::sort(ranks, ranks + count);
    count = std::min(count, max_masks_);
    for (std::int64_t i = 0; i < count; ++i) best[i] = all[ranked_index(ranks[i])];
    decay(frame, masks, best, count);

    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < count; ++i)
      if (best[i].row.score >= score_threshold_)
        ranks[kept++] = rank(best[i].row.score, static_cast<std::uint32_t>(i));
    std::sort(ranks, ranks + kept);
    kept = std::min(kept, max_boxes_);
    auto* const out = reinterpret_cast<Candidate*>(
        frame.begin_floats(output, static_cast<int>(kept)).data);
    for (std::int64_t i = 0; i < kept; ++i) out[i] = best[ranked_index(ranks[i])].row;
  }

 private:
  double most(double count) const { return std::min(count, static_cast<double>(max_masks_)); }
  // Of 64 pixels each.
  static double words(std::int64_t height, std::int64_t width) {
    return std::ceil(static_cast<double>(height) * static_cast<double>(width) / 64);
  }

  float least_area(float number) const {
    std::size_t level = 0;
    while (level + 1 < ends_.size() && !(number < static_cast<float>(ends_[level]))) ++level;
    return least_areas_[level];
  }

  Member member(Candidate row, std::int64_t index, const float* mask, std::int64_t pixels) const {
    std::int64_t area = 0;
    double total = 0;  // a whole number, exact in every order
    for (std::int64_t i = 0; i < pixels; ++i) {
      const bool covers = mask[i] > threshold_;
      area += covers;
      if (covers) total += std::nearbyint(static_cast<double>(mask[i]) * kWhole);
    }
    if (area > 0)
      row.score *= static_cast<float>(total / (static_cast<double>(area) * kWhole));
    return {row, index, area};
  }

  // Lowers the scores of those that better ones cover.
  void decay(Frame& frame, const conv::FloatMap& masks, Member* best, std::int64_t count) const {
    const auto width = static_cast<std::int64_t>(words(masks.h, masks.w));
    const std::int64_t pixels = static_cast<std::int64_t>(masks.h) * masks.w;
    auto* const bits = frame.scratch.take<std::uint64_t>(count * width);
    auto* const ious = frame.scratch.take<float>(count * count);
    auto* const covered = frame.scratch.take<double>(count);
    frame.pool.parallel(count, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* const mask = masks.data + best[i].index * masks.image_stride;
        std::uint64_t* const to = bits + i * width;
        std::fill_n(to, width, 0);
        for (std::int64_t p = 0; p < pixels; ++p)
          to[p / 64] |= static_cast<std::uint64_t>(mask[p] > threshold_) << p % 64;
      }
    });
    frame.pool.parallel(count, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t j = begin; j < end; ++j) {
        float* const iou = ious + j * count;
        double largest = 0;
        for (std::int64_t i = 0; i < j; ++i) {
          if (best[i].row.label != best[j].row.label) continue;
          iou[i] = overlap(best[i], best[j], bits + i * width, bits + j * width, width);
          largest = std::max(largest, static_cast<double>(iou[i]));
        }
        covered[j] = largest;
      }
    });
    for (std::int64_t j = 0; j < count; ++j) {
      double least = 0;
      for (std::int64_t i = 0; i < j; ++i) {
        if (best[i].row.label != best[j].row.label) continue;
        const auto iou = static_cast<double>(ious[j * count + i]);
        least = std::min(least, covered[i] * covered[i] - iou * iou);
      }
      double power = std::max(static_cast<double>(sigma_) * least, -700.0);
      frame.loops.exponentials(&power, 1);
      best[j].row.score *= static_cast<float>(power);
    }
  }

  static float overlap(const Member& a, const Member& b, const std::uint64_t* one,
                       const std::uint64_t* other, std::int64_t width) {
    std::int64_t both = 0;
    for (std::int64_t w = 0; w < width; ++w) both += __builtin_popcountll(one[w] & other[w]);
    const std::int64_t either = std::max<std::int64_t>(a.area + b.area - both, 1);
    return static_cast<float>(static_cast<double>(both) / static_cast<double>(either));
  }

  std::vector<float> least_areas_;
  float threshold_, score_threshold_, sigma_;
  std::int64_t max_masks_, max_boxes_;
  std::vector<std::int64_t> ends_;  // of the numbers of each level
};

const Registered<MatrixSuppress> registered("MatrixSuppress");

}  // namespace
}  // namespace lbw
