// Class Mean: the mean of float maps of one size.
#include "operation.h"

namespace lbw {
namespace {

class Mean : public Operation {
 public:
  explicit Mean(const Fields& fields)
      : Operation(fields.values("inputs", Kind::floats), fields.value("output", Kind::floats)) {
    expect(!inputs.empty(), "it reads no map");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& first = sizes[inputs[0]];
    for (const int input : inputs)
      if (sizes[input] != first)
        throw Error("maps of " + first.text() + " and " + sizes[input].text());
    return first;
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() * static_cast<double>(inputs.size());
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& first = frame.floats(inputs[0]);
    for (const int input : inputs)
      expect(frame.floats(input).n == first.n, "the maps differ in number");
    const conv::FloatMap& out = frame.begin_floats(output, first.n);
    const std::int64_t count = first.n * static_cast<std::int64_t>(out.image_stride);
    const auto divisor = static_cast<float>(inputs.size());
    frame.pool.parallel(count, kGrain, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        float total = first.data[i];
        for (std::size_t k = 1; k < inputs.size(); ++k) total += frame.floats(inputs[k]).data[i];
        out.data[i] = total / divisor;
      }
    });
  }

 private:
  static constexpr std::int64_t kGrain = 4096;
};

const Registered<Mean> registered("Mean");

}  // namespace
}  // namespace lbw
