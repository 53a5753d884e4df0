#pragma once

#include <array>

#include "operation.h"

namespace lbw {

// Class Preprocess: resize, normalize, quantize, pad.
class Preprocess : public Operation {
 public:
  struct Settings {
    int width, height;  // of the resized image, or the box it has to fit with keep_ratio
    bool keep_ratio, to_rgb;
    int size_divisor;
    std::array<std::uint8_t, 3 * 256> table;  // of channel, pixel: channels in output order
  };

  Preprocess(const Settings& settings, int output) : Operation({}, output), settings_(settings) {}

  Size resized(Size image) const;
  Shape shape(const std::vector<Shape>& shapes, Size image) const override;
  void run(Frame& frame) const override;

 private:
  // Pixels by the table, channels reversed if the settings say so.
  void quantize(const std::uint8_t* pixels, std::size_t count, std::uint8_t* out) const;

  Settings settings_;
};

}  // namespace lbw
