// Class QueryMasks: how much each pixel belongs to each query.
#include "operation.h"

namespace lbw {
namespace {

class QueryMasks : public Operation {
 public:
  explicit QueryMasks(const Fields& fields)
      : Operation({fields.value("kernels", Kind::bytes), fields.value("features", Kind::bytes)},
                  fields.value("output", Kind::floats)),
        factor_(fields.real("factor")) {}

  Shape shape(const Sizes& sizes) const override {
    const Shape &kernels = sizes[inputs[0]], &features = sizes[inputs[1]];
    if (kernels.n != 1 || features.n != 1 || kernels.c != features.c || kernels.c > 1 << 14)
      throw Error("queries of " + kernels.text() + " for features of " + features.text());
    return {1, features.h, features.w, kernels.h * kernels.w};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(sizes[inputs[0]].c, sizes[inputs[1]].w) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() * static_cast<double>(sizes[inputs[0]].c);
  }

  void run(Frame& frame) const override {
    const conv::Map &kernels = frame.bytes(inputs[0]), &features = frame.bytes(inputs[1]);
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    const int zero = frame.descriptions[inputs[0]].zero_point;
    const int zero_feature = frame.descriptions[inputs[1]].zero_point;
    const auto parts = frame.scratch.parts(of_thread(kernels.c, features.w), frame.pool.threads());
    frame.pool.parallel(features.h, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      auto* const query = part.take<std::int16_t>(kernels.c);
      auto* const dots = part.take<std::int32_t>(features.w);
      for (int k = 0; k < out.c; ++k) {
        const std::uint8_t* const kernel = kernels.data + k / kernels.w * kernels.row_stride +
                                           static_cast<std::ptrdiff_t>(k % kernels.w) * kernels.c;
        std::int32_t total = 0;
        for (int i = 0; i < kernels.c; ++i) {
          query[i] = static_cast<std::int16_t>(kernel[i] - zero);
          total += query[i];
        }
        for (std::int64_t y = begin; y < end; ++y) {
          frame.loops.dots(query, features.data + y * features.row_stride, features.c, features.w,
                           features.c, dots);
          float* const to = out.data + y * out.row_stride + k;
          for (int x = 0; x < features.w; ++x)
            to[static_cast<std::ptrdiff_t>(x) * out.c] =
                static_cast<float>(dots[x] - zero_feature * total) * factor_;
        }
      }
    });
  }

 private:
  static double of_thread(std::int64_t channels, std::int64_t width) {
    return scratch_bytes<std::int16_t>(static_cast<double>(channels)) +
           scratch_bytes<std::int32_t>(static_cast<double>(width));
  }

  float factor_;
};

const Registered<QueryMasks> registered("QueryMasks");

}  // namespace
}  // namespace lbw
