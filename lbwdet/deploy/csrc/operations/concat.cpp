// Class Concat: maps of one size, along the channels.
#include <array>

#include "copy_pixels.h"
#include "operation.h"

namespace lbw {
namespace {

class Concat : public Operation {
 public:
  explicit Concat(const Fields& fields)
      : Operation(fields.values("inputs", Kind::bytes), fields.value("output", Kind::bytes)) {
    expect(!inputs.empty(), "it reads no map");
    const auto ratios = fields.floats("ratios", inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i)
      tables_.push_back(table(fields.description(inputs[i]).zero_point, ratios[i],
                              fields.description(output), *fields.isa.loops));
    for (const Table& each : tables_) same_.push_back(each == numbers());
  }

  Shape shape(const Sizes& sizes) const override {
    Shape out = sizes[inputs[0]];
    out.c = 0;
    for (const int input : inputs) {
      const Shape& in = sizes[input];
      out.c += in.c;
      if (in.n != out.n || in.h != out.h || in.w != out.w)
        throw Error("maps of " + sizes[inputs[0]].text() + " and " + in.text());
    }
    return out;
  }

  bool reads_among(int) const override { return true; }
  bool writes_among() const override { return true; }
  bool holds(std::size_t index) const override { return same_[index]; }

  void run(Frame& frame) const override {
    const int n = frame.bytes(inputs[0]).n;
    for (const int input : inputs)
      expect(frame.bytes(input).n == n, "the maps that are joined differ in number");
    const conv::Map& out = frame.begin_bytes(output, n);
    const std::ptrdiff_t step = out.pixel_stride();
    std::vector<std::size_t> apart;  // inputs that do not lie in the output yet
    std::vector<std::ptrdiff_t> channels;
    std::ptrdiff_t channel = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const conv::Map& in = frame.bytes(inputs[i]);
      if (in.data != out.data + channel) apart.push_back(i), channels.push_back(channel);
      channel += in.c;
    }
    const std::int64_t rows = apart.empty() ? 0 : static_cast<std::int64_t>(n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        std::uint8_t* const row = out.data + image * out.image_stride + y * out.row_stride;
        for (std::size_t k = 0; k < apart.size(); ++k) {
          const std::size_t i = apart[k];
          const conv::Map& in = frame.bytes(inputs[i]);
          const std::uint8_t* from = in.data + image * in.image_stride + y * in.row_stride;
          std::uint8_t* const to = row + channels[k];
          if (same_[i])
            copy_pixels(from, to, {in.pixel_stride(), step}, in.c, in.w);
          else
            for (std::ptrdiff_t x = 0; x < in.w; ++x)
              frame.loops.look_up(tables_[i].data(), from + x * in.pixel_stride(), in.c,
                                  to + x * step);
        }
      }
    });
  }

 private:
  using Table = std::array<std::uint8_t, 256>;

  static Table numbers() {
    Table all;
    for (int q = 0; q < 256; ++q) all[q] = static_cast<std::uint8_t>(q);
    return all;
  }

  // What each number of an input becomes.
  static Table table(int zero, float ratio, const Value& to, const Loops& loops) {
    Table result;
    std::array<float, 256> reals;
    loops.scale(numbers().data(), static_cast<float>(zero), ratio, reals.size(), reals.data());
    loops.round(reals.data(), {to.zero_point, 0, to.maximum, to.ceil}, reals.size(),
                result.data());
    return result;
  }

  std::vector<Table> tables_;  // by input
  std::vector<bool> same_;     // whether it leaves the numbers as they are
};

const Registered<Concat> registered("Concat");

}  // namespace
}  // namespace lbw
