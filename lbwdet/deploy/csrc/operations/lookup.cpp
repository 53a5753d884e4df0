// Class Lookup: a function of each number of a uint8 map, as a table.
#include <algorithm>
#include <array>

#include "operation.h"

namespace lbw {
namespace {

class Lookup : public Operation {
 public:
  explicit Lookup(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)) {
    const auto table = fields.bytes("table", table_.size());
    std::copy(table.begin(), table.end(), table_.begin());
    // A convolution that reads the output relies on it.
    expect(*std::max_element(table_.begin(), table_.end()) <= fields.description(output).maximum,
           "the table goes beyond the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override { return sizes[inputs[0]]; }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::size_t line = static_cast<std::size_t>(in.w) * in.c;
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * in.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / in.h, y = index % in.h;
        frame.loops.look_up(table_.data(), in.data + image * in.image_stride + y * in.row_stride,
                            line, out.data + image * out.image_stride + y * out.row_stride);
      }
    });
  }

 private:
  std::array<std::uint8_t, 256> table_;
};

const Registered<Lookup> registered("Lookup");

}  // namespace
}  // namespace lbw
