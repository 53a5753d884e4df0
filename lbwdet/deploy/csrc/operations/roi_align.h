#pragma once

#include "operation.h"

namespace lbw {

// Class RoIAlign.
class RoIAlign : public Operation {
 public:
  struct Level {
    int map;  // value
    float scale;  // 1 / stride
    float ratio;  // scale of the map over that of the output
  };
  struct Settings {
    std::vector<Level> levels;
    int boxes;  // value
    int size, sampling_ratio;
    float finest_scale;
  };

  RoIAlign(Settings settings, int output);

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  std::size_t level_of(const float* box) const;

  Settings settings_;
};

}  // namespace lbw
