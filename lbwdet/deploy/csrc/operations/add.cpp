// Class Add: the sum of maps of one shape, or of one pixel.
#include "operation.h"

namespace lbw {
namespace {

class Add : public Operation {
 public:
  explicit Add(const Fields& fields)
      : Operation(fields.values("inputs", Kind::bytes), fields.value("output", Kind::bytes)),
        ratios_(fields.floats("ratios", inputs.size())),
        relu_(fields.flag("relu")) {
    expect(!inputs.empty(), "it reads no map");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& first = sizes[inputs[0]];
    for (const int input : inputs)
      if (sizes[input] != first && sizes[input] != Shape{first.n, 1, 1, first.c})
        throw Error("maps of " + first.text() + " and " + sizes[input].text());
    return first;
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() * static_cast<double>(inputs.size() + 1);
  }

  bool reads_among(int) const override { return true; }
  bool writes_among() const override { return true; }

  void run(Frame& frame) const override {
    const int n = frame.bytes(inputs[0]).n;
    for (const int input : inputs)
      expect(frame.bytes(input).n == n, "the maps that are added differ in number");
    const conv::Map& out = frame.begin_bytes(output, n);
    std::vector<float> zeros;
    std::vector<std::ptrdiff_t> steps;
    bool whole = out.pixel_stride() == out.c;  // rows that are in one piece in every map
    for (const int input : inputs) {
      const conv::Map& in = frame.bytes(input);
      zeros.push_back(static_cast<float>(frame.descriptions[input].zero_point));
      steps.push_back(is_pixel(in, out) ? 0 : in.pixel_stride());
      whole = whole && steps.back() == out.c;
    }
    AddTask task{};
    task.in_steps = steps.data();
    task.zeros = zeros.data(), task.ratios = ratios_.data();
    task.inputs = static_cast<int>(inputs.size());
    task.to = frame.rounding(output, relu_);
    task.channels = static_cast<std::size_t>(out.c) * (whole ? out.w : 1);
    task.pixels = whole ? 1 : out.w;
    task.out_step = out.pixel_stride();
    const std::int64_t rows = static_cast<std::int64_t>(n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      AddTask row = task;
      std::vector<const std::uint8_t*> from(inputs.size());
      row.in = from.data();
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
          const conv::Map& in = frame.bytes(inputs[i]);
          from[i] = in.data + image * in.image_stride + (is_pixel(in, out) ? 0 : y * in.row_stride);
        }
        row.out = out.data + image * out.image_stride + y * out.row_stride;
        frame.loops.add(row);
      }
    });
  }

 private:
  // Whether a map is one pixel for all.
  static bool is_pixel(const conv::Map& in, const conv::Map& out) {
    return in.h != out.h || in.w != out.w;
  }

  std::vector<float> ratios_;  // scale of each map over that of the output
  bool relu_;
};

const Registered<Add> registered("Add");

}  // namespace
}  // namespace lbw
