// Class Suppress: of candidates that overlap, the best.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

// A candidate's place among all: group by group, in each the best first.
struct Entry {
  std::uint32_t group;
  std::uint64_t rank;
};

class Suppress : public Operation {
 public:
  explicit Suppress(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::floats)),
        iou_threshold_(fields.real("iou_threshold")),
        max_boxes_(fields.integer("max_boxes")),
        most_of_group_(fields.integer("most_of_group")),
        fast_(fields.flag("fast")) {
    expect(max_boxes_ > 0, "max_boxes must be positive");
    const std::string group = fields.text("group");
    by_class_ = group == "class";
    by_level_ = group == "level";
    if (!by_class_ && !by_level_ && group != "all")
      throw Error("this build has no groups by " + group);
  }

  Shape shape(const Sizes& sizes) const override {
    return {std::min(candidates(sizes, inputs[0]), max_boxes_), 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    const auto count = static_cast<double>(sizes[inputs[0]].n);
    return scratch_bytes<Entry>(count) + 5 * scratch_bytes<float>(count) +
           scratch_bytes<std::int32_t>(count) + scratch_bytes<std::uint64_t>(count) +
           scratch_bytes<std::size_t>(count + 1);
  }

  double work(const Sizes& sizes) const override {
    // Each kept box meets the rest of its group; no group needs to keep more than max_boxes.
    const auto count = static_cast<double>(sizes[inputs[0]].n);
    const double most = static_cast<double>(most_of_group_);
    if (most_of_group_ > 0) return count * (std::min(count, most) + std::log2(count + 1));
    const double kept = fast_ ? count : std::min(count, static_cast<double>(max_boxes_));
    return kept * (count - kept / 2) + count * std::log2(count + 1);
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    const auto count = static_cast<std::size_t>(rows.count);
    auto* const entries = frame.scratch.take<Entry>(count);
    for (std::size_t i = 0; i < count; ++i)
      entries[i] = {group_of(rows.data[i]),
                    rank(rows.data[i].score, static_cast<std::uint32_t>(i))};
    std::sort(entries, entries + count, [](const Entry& a, const Entry& b) {
      return a.group != b.group ? a.group < b.group : a.rank < b.rank;
    });

    // Columns, so that one box meets all later ones in vectors.
    float* columns[5];
    for (float*& column : columns) column = frame.scratch.take<float>(count);
    auto* const dropped = frame.scratch.take<std::int32_t>(count);
    auto* const ranks = frame.scratch.take<std::uint64_t>(count);
    auto* const begins = frame.scratch.take<std::size_t>(count + 1);  // of the groups, and the end
    std::int64_t groups = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (i == 0 || entries[i].group != entries[i - 1].group) begins[groups++] = i;
      const Box& box = rows.data[ranked_index(entries[i].rank)].box;
      columns[0][i] = box.x1;
      columns[1][i] = box.y1;
      columns[2][i] = box.x2;
      columns[3][i] = box.y2;
      columns[4][i] = (box.x2 - box.x1) * (box.y2 - box.y1);
      dropped[i] = 0;
    }
    begins[groups] = count;
    frame.pool.parallel(groups, 1, [&](std::int64_t first, std::int64_t last, int) {
      for (std::int64_t group = first; group < last; ++group)
        suppress(frame, columns, begins[group], begins[group + 1], dropped);
    });

    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i)
      if (!dropped[i]) ranks[kept++] = entries[i].rank;
    std::sort(ranks, ranks + kept);
    kept = std::min(kept, static_cast<std::size_t>(max_boxes_));
    auto* const out = reinterpret_cast<Candidate*>(
        frame.begin_floats(output, static_cast<int>(kept)).data);
    for (std::size_t i = 0; i < kept; ++i) out[i] = rows.data[ranked_index(ranks[i])];
  }

 private:
  std::uint32_t group_of(const Candidate& row) const {
    if (!by_class_ && !by_level_) return 0;
    const float group = by_class_ ? row.label : row.level;
    std::uint32_t bits;
    std::memcpy(&bits, &group, sizeof bits);
    return bits;
  }

  // One group, begin .. end: drops what overlaps a better box, and all after max_boxes of them.
  void suppress(const Frame& frame, float* const (&columns)[5], std::size_t begin, std::size_t end,
                std::int32_t* dropped) const {
    const BoxColumns view{columns[0] + begin, columns[1] + begin, columns[2] + begin,
                          columns[3] + begin, columns[4] + begin};
    std::size_t count = end - begin;
    dropped += begin;
    if (most_of_group_ > 0 && count > static_cast<std::size_t>(most_of_group_)) {
      std::fill(dropped + most_of_group_, dropped + count, 1);
      count = static_cast<std::size_t>(most_of_group_);
    }
    std::int64_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (dropped[i] && !fast_) continue;
      if (kept == max_boxes_) {
        std::fill(dropped + i, dropped + count, 1);
        return;
      }
      kept += !dropped[i];
      frame.pool.check();
      frame.loops.mark_overlaps(view, i, count, iou_threshold_, dropped);
    }
  }

  float iou_threshold_;
  std::int64_t max_boxes_, most_of_group_;
  bool fast_;
  bool by_class_, by_level_;
};

const Registered<Suppress> registered("Suppress");

}  // namespace
}  // namespace lbw
