#include "proposals.h"

#include <algorithm>
#include <numeric>

namespace lbw {
namespace {

std::vector<int> values_of(const Proposals::Settings& settings) {
  std::vector<int> values;
  for (const auto& level : settings.levels) values.push_back(level.scores);
  for (const auto& level : settings.levels) values.push_back(level.deltas);
  return values;
}

// Ranks of the `most` best scores, best first.
std::vector<std::uint64_t> best(const float* scores, std::uint32_t count, std::size_t most) {
  std::vector<std::uint64_t> ranks(count);
  for (std::uint32_t i = 0; i < count; ++i) ranks[i] = rank(scores[i], i);
  if (most < count) {
    std::nth_element(ranks.begin(), ranks.begin() + most, ranks.end());
    ranks.resize(most);
  }
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

}  // namespace

Proposals::Proposals(Settings settings, int output)
    : Operation(values_of(settings), output), settings_(std::move(settings)) {}

Shape Proposals::shape(const std::vector<Shape>& shapes, Size) const {
  for (const Level& level : settings_.levels) {
    const Shape &scores = shapes[level.scores], &deltas = shapes[level.deltas];
    const auto anchors = static_cast<std::int64_t>(level.base_anchors.size());
    if (scores.c != anchors || deltas.c != 4 * anchors || scores.h != deltas.h ||
        scores.w != deltas.w || scores.n != 1 || deltas.n != 1)
      throw Error("scores of " + std::to_string(scores.c) + " and deltas of " +
                  std::to_string(deltas.c) + " channels for " + std::to_string(anchors) +
                  " anchors, or their maps differ in size");
  }
  return {settings_.max_boxes, 1, 1, 4};
}

// One level: its best logits, decoded, without those that overlap a better one.
std::vector<Proposals::Candidate> Proposals::survivors(const Frame& frame,
                                                       const Level& level) const {
  const conv::FloatMap& scores = frame.values[level.scores].floats;
  const float* const deltas = frame.values[level.deltas].floats.data;
  const auto width = static_cast<float>(frame.resized.width);
  const auto height = static_cast<float>(frame.resized.height);
  const auto anchors = static_cast<std::uint32_t>(level.base_anchors.size());

  const std::vector<std::uint64_t> ranks =
      best(scores.data, scores.h * scores.w * anchors, settings_.pre_nms);
  std::vector<Box> boxes;
  std::vector<const float*> box_deltas;
  for (const std::uint64_t ranked : ranks) {
    const std::uint32_t index = ranked_index(ranked), cell = index / anchors;
    const auto x = static_cast<float>(static_cast<int>(cell % scores.w) * level.stride);
    const auto y = static_cast<float>(static_cast<int>(cell / scores.w) * level.stride);
    const Box& base = level.base_anchors[index % anchors];
    boxes.push_back({base.x1 + x, base.y1 + y, base.x2 + x, base.y2 + y});
    box_deltas.push_back(deltas + 4 * static_cast<std::size_t>(index));
  }
  boxes = settings_.coder.decode(boxes, box_deltas, width, height, frame.loops);

  std::vector<Candidate> candidates;
  std::size_t count = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const Box box = boxes[i];
    const float least = settings_.min_size;
    if (least >= 0 && !(box.x2 - box.x1 > least && box.y2 - box.y1 > least)) continue;
    candidates.push_back({ranks[i], box});
    boxes[count++] = box;
  }
  boxes.resize(count);
  std::vector<Candidate> kept;
  for (const int i : suppress(boxes, settings_.iou_threshold, settings_.max_boxes, frame.loops))
    kept.push_back(candidates[i]);
  return kept;
}

void Proposals::run(Frame& frame) const {
  const std::size_t levels = settings_.levels.size();
  std::vector<std::vector<Candidate>> kept(levels);
  frame.pool.parallel(levels, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t l = begin; l < end; ++l) kept[l] = survivors(frame, settings_.levels[l]);
  });
  // By logit; of equal ones, the lower level, then the lower index. Levels are sorted already.
  std::vector<Candidate> all;
  for (auto& level : kept) {
    const auto middle = static_cast<std::ptrdiff_t>(all.size());
    all.insert(all.end(), level.begin(), level.end());
    std::inplace_merge(all.begin(), all.begin() + middle, all.end(),
                       [](const Candidate& a, const Candidate& b) {
                         return a.rank >> 32 < b.rank >> 32;
                       });
  }
  const std::size_t count = std::min(all.size(), static_cast<std::size_t>(settings_.max_boxes));
  float* out = frame.begin_floats(output, static_cast<int>(count)).data;
  for (std::size_t i = 0; i < count; ++i) {
    const Box& box = all[i].box;
    for (const float side : {box.x1, box.y1, box.x2, box.y2}) *out++ = side;
  }
}

}  // namespace lbw
