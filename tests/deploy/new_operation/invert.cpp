// Class Invert: the negative of a map.
#include "operation.h"

namespace lbw {
namespace {

class Invert : public Operation {
 public:
  explicit Invert(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        maximum_(fields.integer("maximum")) {}

  Shape shape(const Sizes& sizes) const override { return sizes[inputs[0]]; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    for (std::int64_t n = 0; n < in.n; ++n)
      for (std::int64_t y = 0; y < in.h; ++y) {
        const std::uint8_t* from = in.data + n * in.image_stride + y * in.row_stride;
        std::uint8_t* to = out.data + n * out.image_stride + y * out.row_stride;
        for (std::int64_t i = 0; i < in.w * in.c; ++i)
          to[i] = static_cast<std::uint8_t>(maximum_ - from[i]);
      }
  }

 private:
  int maximum_;
};

const Registered<Invert> registered("Invert");

}  // namespace
}  // namespace lbw
