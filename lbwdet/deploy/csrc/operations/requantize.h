#pragma once

#include <array>

#include "operation.h"

namespace lbw {

// Class Requantize.
class Requantize : public Operation {
 public:
  using Table = std::array<std::uint8_t, 256>;

  Requantize(const Table& table, int input, int output)
      : Operation({input}, output), table_(table) {}

  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  Table table_;
};

}  // namespace lbw
