#include "detections.h"

#include <algorithm>

namespace lbw {
namespace {

// One box of one class.
struct Candidate {
  std::uint64_t rank;  // within the class
  int label;
  Box box;
};

void softmax(const float* logits, int count, const Loops& loops, std::vector<double>& terms,
             float* scores) {
  const float largest = *std::max_element(logits, logits + count);
  terms.resize(count);
  for (int i = 0; i < count; ++i) terms[i] = static_cast<double>(logits[i]) - largest;
  loops.exponentials(terms.data(), terms.size());
  double sum = 0;
  for (const double term : terms) sum += term;
  for (int i = 0; i < count; ++i) scores[i] = static_cast<float>(terms[i] / sum);
}

}  // namespace

Shape Detections::shape(const std::vector<Shape>& shapes, Size) const {
  const Shape &scores = shapes[settings_.scores], &deltas = shapes[settings_.deltas];
  const std::int64_t wanted = settings_.class_agnostic ? 4 : 4 * settings_.num_classes;
  if (scores.c != settings_.num_classes + 1 || deltas.c != wanted || scores.h * scores.w != 1 ||
      deltas.h * deltas.w != 1 || scores.n != deltas.n || scores.n != shapes[settings_.boxes].n)
    throw Error("scores of " + std::to_string(scores.c) + " and deltas of " +
                std::to_string(deltas.c) + " channels for " +
                std::to_string(settings_.num_classes) + " classes, or their numbers differ");
  return {0, 0, 0, 0};
}

void Detections::run(Frame& frame) const {
  const int classes = settings_.num_classes;
  const conv::FloatMap& logits = frame.values[settings_.scores].floats;
  std::vector<float> scores(static_cast<std::size_t>(logits.n) * (classes + 1));
  frame.pool.parallel(logits.n, 64, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<double> terms;
    for (std::int64_t i = begin; i < end; ++i)
      softmax(logits.data + i * logits.image_stride, classes + 1, frame.loops, terms,
              &scores[i * (classes + 1)]);
  });

  // Of every class, what no better box of the class covers, best first.
  const conv::FloatMap& deltas = frame.values[settings_.deltas].floats;
  const float* const proposals = frame.values[settings_.boxes].floats.data;
  const auto width = static_cast<float>(frame.resized.width);
  const auto height = static_cast<float>(frame.resized.height);
  const auto factor = [](int resized, int original) {
    return 1.0f / static_cast<float>(static_cast<double>(resized) / original);
  };
  const float fx = factor(frame.resized.width, frame.image.size.width);
  const float fy = factor(frame.resized.height, frame.image.size.height);
  std::vector<std::vector<Candidate>> by_class(classes);
  frame.pool.parallel(classes, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (int label = static_cast<int>(begin); label < end; ++label) {
      std::vector<std::uint64_t> ranks;
      for (int i = 0; i < logits.n; ++i) {
        const float score = scores[static_cast<std::size_t>(i) * (classes + 1) + label];
        if (score > settings_.score_threshold) ranks.push_back(rank(score, i));
      }
      std::sort(ranks.begin(), ranks.end());
      std::vector<Box> boxes;
      std::vector<const float*> box_deltas;
      for (const std::uint64_t ranked : ranks) {
        const std::size_t i = ranked_index(ranked);
        const float* const box = proposals + 4 * i;
        boxes.push_back({box[0], box[1], box[2], box[3]});
        box_deltas.push_back(deltas.data + i * deltas.image_stride +
                             (settings_.class_agnostic ? 0 : 4 * label));
      }
      boxes = settings_.coder.decode(boxes, box_deltas, width, height, frame.loops);
      for (Box& box : boxes) box = {box.x1 * fx, box.y1 * fy, box.x2 * fx, box.y2 * fy};
      for (const int i :
           suppress(boxes, settings_.iou_threshold, settings_.max_boxes, frame.loops))
        by_class[label].push_back({ranks[i], label, boxes[i]});
    }
  });

  // All classes by score, then by box, then by class: the sort is stable and classes ascend.
  std::vector<Candidate> all;
  for (const auto& candidates : by_class)
    all.insert(all.end(), candidates.begin(), candidates.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& a, const Candidate& b) { return a.rank < b.rank; });
  if (all.size() > static_cast<std::size_t>(settings_.max_boxes)) all.resize(settings_.max_boxes);
  frame.detections.clear();
  for (const Candidate& candidate : all) {
    const Box& box = candidate.box;
    frame.detections.push_back({{box.x1, box.y1, box.x2, box.y2},
                                ranked_score(candidate.rank),
                                candidate.label});
  }
}

}  // namespace lbw
