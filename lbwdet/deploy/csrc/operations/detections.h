#pragma once

#include "boxes.h"
#include "operation.h"

namespace lbw {

// Class Detections: what the detector returns.
class Detections : public Operation {
 public:
  struct Settings {
    int scores, deltas, boxes;  // values
    int num_classes;
    bool class_agnostic;
    BoxCoder coder;
    float score_threshold, iou_threshold;
    int max_boxes;
  };

  explicit Detections(const Settings& settings)
      : Operation({settings.scores, settings.deltas, settings.boxes}, -1), settings_(settings) {}

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  Settings settings_;
};

}  // namespace lbw
