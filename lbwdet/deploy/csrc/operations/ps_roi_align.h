#pragma once

#include "operation.h"

namespace lbw {

// Class PSRoIAlign.
class PSRoIAlign : public Operation {
 public:
  struct Settings {
    int map, boxes;  // values
    int size, sampling_ratio;
    float scale;  // 1 / stride
  };

  PSRoIAlign(const Settings& settings, int output);

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  Settings settings_;
};

}  // namespace lbw
