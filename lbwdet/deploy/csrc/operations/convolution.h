#pragma once

#include "operation.h"

namespace lbw {

// Class Conv: the kernels of ../conv between values of the program.
class Convolution : public Operation {
 public:
  // residual: a value, or -1.
  Convolution(conv::Packed packed, int input, int residual, int output);

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  int border(int input, const Shape& shape) const override;
  std::int64_t multiplications(const Frame& frame) const override;
  void run(Frame& frame) const override;

 private:
  conv::Packed packed_;
  int input_, residual_;
};

}  // namespace lbw
