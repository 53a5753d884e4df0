// An array that the caller gives: how one operation runs alone. "shape": n, h, w, c; "bytes" or
// "floats": what is in it, whichever the output is; "resized", if given: height and width that the
// image is taken to be resized to.
#include <algorithm>
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

class Given : public Operation {
 public:
  explicit Given(const Fields& fields) : Operation({}, fields.value("output", Kind::map)) {
    const auto sides = fields.integers("shape");
    expect(sides.size == 4, "shape is n, h, w, c");
    for (const int side : sides) expect(side >= 0, "a side is negative");
    shape_ = {sides.data[0], sides.data[1], sides.data[2], sides.data[3]};
    if (fields.has("resized")) {
      const Pair resized = fields.pair("resized");
      resized_ = {resized.h, resized.w};
    }
    const Value& value = fields.description(output);
    if (value.is_float) {
      floats_ = fields.floats("floats");
    } else {
      const auto bytes = fields.bytes("bytes");
      bytes_.assign(bytes.begin(), bytes.end());
      // Convolutions rely on it.
      for (const std::uint8_t byte : bytes_)
        expect(byte <= value.maximum, "a number is above the value's maximum");
    }
    const std::size_t count = value.is_float ? floats_.size() : bytes_.size();
    expect(shape_.size() == static_cast<double>(count), "shape is not that of the array");
  }

  Shape shape(const Sizes&) const override { return shape_; }

  void run(Frame& frame) const override {
    if (resized_.height > 0) frame.resized = frame.bounds = resized_;
    const int n = static_cast<int>(shape_.n);
    if (frame.descriptions[output].is_float) {
      std::copy(floats_.begin(), floats_.end(), frame.begin_floats(output, n).data);
      return;
    }
    const conv::Map& out = frame.begin_bytes(output, n);
    const std::size_t line = static_cast<std::size_t>(out.w) * out.c;
    const std::uint8_t* from = bytes_.data();
    for (std::int64_t image = 0; image < n; ++image)
      for (std::int64_t y = 0; y < out.h && line > 0; ++y, from += line)
        std::memcpy(out.data + image * out.image_stride + y * out.row_stride, from, line);
  }

 private:
  Shape shape_{};
  Size resized_{};
  std::vector<std::uint8_t> bytes_;
  std::vector<float> floats_;
};

const Registered<Given> registered("Given");

}  // namespace
}  // namespace lbw
