// What operations have in common that move a window over a map.
#pragma once

#include <cstdint>

#include "operation.h"

namespace lbw {

class Pool : public Operation {
 public:
  explicit Pool(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        kernel_(fields.pair("kernel")),
        stride_(fields.pair("stride")),
        padding_(fields.pair("padding")),
        ceil_(fields.flag("ceil")) {
    expect(stride_.h > 0 && stride_.w > 0, "stride must be positive");
    // Else a window could lie in the padding alone, where there is nothing to take.
    expect(padding_.h >= 0 && padding_.h < kernel_.h && padding_.w >= 0 && padding_.w < kernel_.w,
           "padding must be 0 to kernel - 1");
    expect(!ceil_ || (kernel_.h >= std::int64_t{stride_.h} + padding_.h &&
                      kernel_.w >= std::int64_t{stride_.w} + padding_.w),
           "with ceil, kernels must be at least stride and padding together");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    std::int64_t h = in.h + 2 * std::int64_t{padding_.h} - kernel_.h;
    std::int64_t w = in.w + 2 * std::int64_t{padding_.w} - kernel_.w;
    if (ceil_) h += stride_.h - 1, w += stride_.w - 1;
    if (in.h < 1 || in.w < 1 || h < 0 || w < 0)
      throw Error("a map of " + in.text() + " is smaller than the window");
    return {in.n, h / stride_.h + 1, w / stride_.w + 1, in.c};
  }

 protected:
  Pair kernel_, stride_, padding_;

 private:
  bool ceil_;
};

}  // namespace lbw
