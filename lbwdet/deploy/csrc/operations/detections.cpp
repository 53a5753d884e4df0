#include "detections.h"

#include <algorithm>

namespace lbw {
namespace {

// One box of one class on its way; `box` is the proposal, then what the deltas make of it.
struct Candidate {
  std::uint64_t rank;  // within the class
  int label;
  Box box;
};

void softmax(const float* logits, int count, std::vector<double>& terms, float* scores) {
  const float largest = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    terms[i] = exact_exp(static_cast<double>(logits[i]) - largest);
    sum += terms[i];
  }
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
  const conv::FloatMap& deltas = frame.values[settings_.deltas].floats;
  const float* const boxes = frame.values[settings_.boxes].floats.data;
  const auto width = static_cast<float>(frame.resized.width);
  const auto height = static_cast<float>(frame.resized.height);
  const auto factor = [](int resized, int original) {
    return 1.0f / static_cast<float>(static_cast<double>(resized) / original);
  };
  const float fx = factor(frame.resized.width, frame.image.size.width);
  const float fy = factor(frame.resized.height, frame.image.size.height);

  std::vector<std::vector<Candidate>> by_class(classes);
  std::vector<double> terms(classes + 1);
  std::vector<float> scores(classes + 1);
  for (int i = 0; i < logits.n; ++i) {
    softmax(logits.data + i * logits.image_stride, classes + 1, terms, scores.data());
    const Box proposal{boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
    for (int label = 0; label < classes; ++label) {
      if (!(scores[label] > settings_.score_threshold)) continue;
      const float* const delta =
          deltas.data + i * deltas.image_stride + (settings_.class_agnostic ? 0 : 4 * label);
      Box box = settings_.coder.decode(proposal, delta, width, height);
      box = {box.x1 * fx, box.y1 * fy, box.x2 * fx, box.y2 * fy};
      by_class[label].push_back({rank(scores[label], i), label, box});
    }
  }

  // The order of scores, then boxes, then classes: a stable sort by rank of ascending classes.
  const auto better = [](const Candidate& a, const Candidate& b) { return a.rank < b.rank; };
  frame.pool.parallel(classes, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t label = begin; label < end; ++label) {
      auto& candidates = by_class[label];
      std::sort(candidates.begin(), candidates.end(), better);
      std::vector<Box> sorted;
      for (const Candidate& candidate : candidates) sorted.push_back(candidate.box);
      std::vector<Candidate> kept;
      for (const int i :
           suppress(sorted, settings_.iou_threshold, settings_.max_boxes, frame.loops))
        kept.push_back(candidates[i]);
      candidates = std::move(kept);
    }
  });
  std::vector<Candidate> all;
  for (const auto& candidates : by_class)
    all.insert(all.end(), candidates.begin(), candidates.end());
  std::stable_sort(all.begin(), all.end(), better);
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
