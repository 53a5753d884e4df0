// Class BestPixels: the numbers of the pixels with the largest scores.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

class BestPixels : public Operation {
 public:
  explicit BestPixels(const Fields& fields)
      : Operation(fields.values("scores", Kind::floats), fields.value("output", Kind::floats)),
        count_(fields.integer("count")),
        classes_(fields.integer("classes")) {
    expect(!inputs.empty() && count_ > 0 && classes_ > 0, "no maps, pixels or classes");
  }

  Shape shape(const Sizes& sizes) const override {
    for (const int input : inputs)
      if (sizes[input].n != 1 || sizes[input].c < classes_)
        throw Error("scores of " + sizes[input].text());
    if (pixels(sizes) > kMostNumbers) throw Error("too many pixels to choose from");
    return {1, 1, count_, 1};
  }

  double scratch(const Sizes& sizes) const override {
    return scratch_bytes<std::uint64_t>(pixels(sizes));
  }

  double work(const Sizes& sizes) const override {
    double found = 0;
    for (const int input : inputs) found += sizes[input].size();
    return found + 16 * pixels(sizes);
  }

  void run(Frame& frame) const override {
    std::size_t total = 0;
    for (const int input : inputs) {
      const conv::FloatMap& in = frame.floats(input);
      total += static_cast<std::size_t>(in.h) * in.w;
    }
    auto* const ranks = frame.scratch.take<std::uint64_t>(total);
    std::uint32_t number = 0;
    for (const int input : inputs) {
      const conv::FloatMap& in = frame.floats(input);
      for (std::int64_t y = 0; y < in.h; ++y)
        for (std::int64_t x = 0; x < in.w; ++x, ++number) {
          const float* const scores = in.data + y * in.row_stride + x * in.pixel_stride();
          ranks[number] = rank(*std::max_element(scores, scores + classes_), number);
        }
    }
    const std::size_t kept = std::min<std::size_t>(count_, total);
    std::partial_sort(ranks, ranks + kept, ranks + total);
    float* const out = frame.begin_floats(output, 1).data;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count_); ++i)
      out[i] = i < kept ? static_cast<float>(ranked_index(ranks[i])) : -1.0f;
  }

 private:
  double pixels(const Sizes& sizes) const {
    double found = 0;
    for (const int input : inputs)
      found += 1.0 * static_cast<double>(sizes[input].h) * static_cast<double>(sizes[input].w);
    return found;
  }

  int count_, classes_;
};

const Registered<BestPixels> registered("BestPixels");

}  // namespace
}  // namespace lbw
