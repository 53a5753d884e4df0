// Class Embedding: a map that is the same for every image.
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  if (!fields.has("boxes")) return {};
  return {fields.value("boxes", Kind::floats)};
}

class Embedding : public Operation {
 public:
  explicit Embedding(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::bytes)),
        shape_{1, fields.integer("height"), fields.integer("width"), fields.integer("channels")} {
    if (!inputs.empty()) shape_ = {shape_.h * shape_.w, 1, 1, shape_.c};
    const auto bytes = fields.bytes("bytes");
    bytes_.assign(bytes.begin(), bytes.end());
    expect(shape_.size() == static_cast<double>(bytes_.size()), "there is not a number for each");
    // Convolutions rely on it.
    for (const std::uint8_t byte : bytes_)
      expect(byte <= fields.description(output).maximum, "a number is above the maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    if (!inputs.empty() && sizes[inputs[0]].n != shape_.n)
      throw Error("pixels of " + shape_.text() + " for boxes of " + sizes[inputs[0]].text());
    return shape_;
  }

  void run(Frame& frame) const override {
    const int count = static_cast<int>(shape_.n);
    if (!inputs.empty()) expect(frame.floats(inputs[0]).n == count, "boxes differ in number");
    const conv::Map& out = frame.begin_bytes(output, count);
    const std::size_t line = static_cast<std::size_t>(out.w) * out.c;
    const std::uint8_t* from = bytes_.data();
    for (std::int64_t image = 0; image < count; ++image)
      for (std::int64_t y = 0; y < out.h; ++y, from += line)
        std::memcpy(out.data + image * out.image_stride + y * out.row_stride, from, line);
  }

 private:
  Shape shape_;
  std::vector<std::uint8_t> bytes_;
};

const Registered<Embedding> registered("Embedding");

}  // namespace
}  // namespace lbw
