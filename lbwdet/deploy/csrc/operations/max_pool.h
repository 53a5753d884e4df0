#pragma once

#include "operation.h"

namespace lbw {

// Class MaxPool.
class MaxPool : public Operation {
 public:
  struct Settings {
    int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w;
  };

  MaxPool(const Settings& settings, int input, int output)
      : Operation({input}, output), settings_(settings) {}

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  Settings settings_;
};

}  // namespace lbw
