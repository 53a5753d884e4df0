#pragma once

#include "boxes.h"
#include "operation.h"

namespace lbw {

// Class Proposals: the best boxes of all levels.
class Proposals : public Operation {
 public:
  struct Level {
    int scores, deltas;  // values
    int stride;
    std::vector<Box> base_anchors;
  };
  struct Settings {
    std::vector<Level> levels;
    BoxCoder coder;
    int pre_nms, max_boxes;
    float iou_threshold, min_size;
  };

  Proposals(Settings settings, int output);

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  struct Candidate {
    std::uint64_t rank;  // within the level
    Box box;
  };
  std::vector<Candidate> survivors(const Frame& frame, const Level& level) const;

  Settings settings_;
};

}  // namespace lbw
