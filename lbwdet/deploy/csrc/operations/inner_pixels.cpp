// Class InnerPixels: a map that is zero at its rim.
#include <cstring>

#include "../arithmetic/proposals.h"
#include "operation.h"

namespace lbw {
namespace {

class InnerPixels : public Operation {
 public:
  explicit InnerPixels(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        margin_(fields.real("margin")) {}

  Shape shape(const Sizes& sizes) const override { return sizes[inputs[0]]; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const int zero = frame.descriptions[output].zero_point;
    const std::size_t channels = in.c;
    for (std::int64_t n = 0; n < in.n; ++n)
      for (std::int64_t y = 0; y < in.h; ++y) {
        const std::uint8_t* from = in.data + n * in.image_stride + y * in.row_stride;
        std::uint8_t* to = out.data + n * out.image_stride + y * out.row_stride;
        const bool inner = is_inner(y, in.h, margin_);
        for (std::int64_t x = 0; x < in.w; ++x, from += channels, to += channels)
          if (inner && is_inner(x, in.w, margin_))
            std::memcpy(to, from, channels);
          else
            std::memset(to, zero, channels);
      }
  }

 private:
  float margin_;
};

const Registered<InnerPixels> registered("InnerPixels");

}  // namespace
}  // namespace lbw
