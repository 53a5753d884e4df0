// Class Embedding: a map that is the same for every image.
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

class Embedding : public Operation {
 public:
  explicit Embedding(const Fields& fields)
      : Operation({}, fields.value("output", Kind::bytes)),
        shape_{1, fields.integer("height"), fields.integer("width"), fields.integer("channels")} {
    const auto bytes = fields.bytes("bytes");
    bytes_.assign(bytes.begin(), bytes.end());
    expect(shape_.size() == static_cast<double>(bytes_.size()), "there is not a number for each");
    // Convolutions rely on it.
    for (const std::uint8_t byte : bytes_)
      expect(byte <= fields.description(output).maximum, "a number is above the maximum");
  }

  Shape shape(const Sizes&) const override { return shape_; }

  void run(Frame& frame) const override {
    const conv::Map& out = frame.begin_bytes(output, 1);
    const std::size_t line = static_cast<std::size_t>(out.w) * out.c;
    for (std::int64_t y = 0; y < out.h; ++y)
      std::memcpy(out.data + y * out.row_stride, bytes_.data() + y * line, line);
  }

 private:
  Shape shape_;
  std::vector<std::uint8_t> bytes_;
};

const Registered<Embedding> registered("Embedding");

}  // namespace
}  // namespace lbw
