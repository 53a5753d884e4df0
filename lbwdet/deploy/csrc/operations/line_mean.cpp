// Class LineMean: weighted means of the pixels of columns, or of rows.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

class LineMean : public Operation {
 public:
  explicit LineMean(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes), fields.value("logits", Kind::floats)},
                  fields.value("output", Kind::bytes)),
        ratio_(fields.real("ratio")) {
    const std::string lines = fields.text("lines");
    columns_ = lines == "columns";
    if (!columns_ && lines != "rows") throw Error("this build has no lines " + lines);
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &in = sizes[inputs[0]], &logits = sizes[inputs[1]];
    if (logits != Shape{in.n, in.h, in.w, 1})
      throw Error("weights of " + logits.text() + " for a map of " + in.text());
    return columns_ ? Shape{in.n, 1, in.w, in.c} : Shape{in.n, in.h, 1, in.c};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return of_thread(columns_ ? in.h : in.w, in.c) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    constexpr double kExponential = 16;
    return sizes[inputs[0]].size() + sizes[inputs[1]].size() * kExponential;
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::FloatMap& logits = frame.floats(inputs[1]);
    expect(in.n == logits.n, "weights and maps differ in number");
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const int length = columns_ ? in.h : in.w, lines = columns_ ? in.w : in.h;
    const auto zero = static_cast<float>(frame.descriptions[inputs[0]].zero_point);
    const auto parts = frame.scratch.parts(of_thread(length, in.c), frame.pool.threads());
    frame.pool.parallel(in.n, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      auto* const values = part.take<double>(length);
      auto* const weights = part.take<float>(length);
      auto* const sums = part.take<float>(in.c);
      for (std::int64_t image = begin; image < end; ++image)
        for (int line = 0; line < lines; ++line) {
          const float* const from = logits.data + image * logits.image_stride +
                                    (columns_ ? line : line * logits.row_stride);
          const std::ptrdiff_t step = columns_ ? logits.row_stride : 1;
          for (int j = 0; j < length; ++j) values[j] = from[j * step];
          sigmoid(values, length, frame.loops);
          float total = 0;
          for (int j = 0; j < length; ++j) total = total + static_cast<float>(values[j]);
          for (int j = 0; j < length; ++j) weights[j] = static_cast<float>(values[j]) / total;
          std::fill_n(sums, in.c, 0.0f);
          frame.loops.add_weighted(
              in.data + image * in.image_stride +
                  (columns_ ? static_cast<std::ptrdiff_t>(line) * in.c : line * in.row_stride),
              columns_ ? in.row_stride : in.c, zero, weights, length, in.c, sums);
          for (int c = 0; c < in.c; ++c) sums[c] *= ratio_;
          frame.loops.round(sums, frame.rounding(output), in.c,
                            out.data + image * out.image_stride +
                                (columns_ ? static_cast<std::ptrdiff_t>(line) * out.c
                                          : line * out.row_stride));
        }
    });
  }

 private:
  static double of_thread(std::int64_t length, std::int64_t channels) {
    const auto pixels = static_cast<double>(length);
    return scratch_bytes<double>(pixels) + scratch_bytes<float>(pixels) +
           scratch_bytes<float>(static_cast<double>(channels));
  }

  float ratio_;
  bool columns_;
};

const Registered<LineMean> registered("LineMean");

}  // namespace
}  // namespace lbw
