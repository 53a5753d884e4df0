// Class BoxEncoding: numbers of boxes, as sines of many wave lengths.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "../arithmetic/elementary.h"
#include "operation.h"

namespace lbw {
namespace {

class BoxEncoding : public Operation {
 public:
  explicit BoxEncoding(const Fields& fields)
      : Operation({fields.value("input", Kind::floats)}, fields.value("output", Kind::bytes)),
        slowness_(fields.floats("slowness")),
        scale_(fields.real("scale")),
        ratio_(fields.real("ratio")) {
    for (const std::int32_t number : fields.integers("order")) order_.push_back(number);
    expect(!slowness_.empty() && !order_.empty(), "there are no channels");
    expect(*std::min_element(order_.begin(), order_.end()) >= 0, "order");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (*std::max_element(order_.begin(), order_.end()) >= in.c)
      throw Error("too few numbers of boxes: " + in.text());
    return {in.n, in.h, in.w, static_cast<std::int64_t>(order_.size() * slowness_.size())};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(static_cast<double>(sizes[output].c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override { return 50 * sizes[output].size(); }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const Rounding rounding = frame.rounding(output);
    const auto parts = frame.scratch.parts(of_thread(out.c), frame.pool.threads());
    const std::int64_t pixels = static_cast<std::int64_t>(in.n) * in.h * in.w;
    frame.pool.parallel(pixels, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      double* const places = part.take<double>(order_.size());
      float* const reals = part.take<float>(out.c);
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t x = index % in.w, y = index / in.w % in.h, image = index / in.w / in.h;
        const float* const from =
            in.data + image * in.image_stride + y * in.row_stride + x * in.pixel_stride();
        for (std::size_t i = 0; i < order_.size(); ++i)
          places[i] = static_cast<double>(from[order_[i]]);
        sigmoid(places, order_.size(), frame.loops);
        float* to = reals;
        for (std::size_t i = 0; i < order_.size(); ++i)
          for (std::size_t k = 0; k < slowness_.size(); ++k, ++to) {
            const double angle = places[i] * scale_ * static_cast<double>(slowness_[k]);
            *to = static_cast<float>(sine(k % 2 ? angle + kPi / 2 : angle)) * ratio_;
          }
        frame.loops.round(reals, rounding, out.c,
                          out.data + image * out.image_stride + y * out.row_stride + x * out.c);
      }
    });
  }

 private:
  double of_thread(double channels) const {
    return scratch_bytes<double>(static_cast<double>(order_.size())) +
           scratch_bytes<float>(channels);
  }

  std::vector<float> slowness_;
  std::vector<int> order_;
  double scale_;
  float ratio_;
};

const Registered<BoxEncoding> registered("BoxEncoding");

}  // namespace
}  // namespace lbw
