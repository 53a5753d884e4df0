// Class ChosenPixels: some pixels of float32 maps, by their numbers.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

// The maps, then their pixels' numbers.
std::vector<int> read(const Fields& fields) {
  std::vector<int> inputs = fields.values("inputs", Kind::floats);
  inputs.push_back(fields.value("numbers", Kind::floats));
  return inputs;
}

class ChosenPixels : public Operation {
 public:
  explicit ChosenPixels(const Fields& fields)
      : Operation(read(fields), fields.value("output", Kind::floats)), maps_(inputs.size() - 1) {
    expect(maps_ > 0, "it reads no map");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &first = sizes[inputs[0]], &numbers = sizes[inputs[maps_]];
    for (std::size_t i = 0; i < maps_; ++i)
      if (sizes[inputs[i]].n != 1 || sizes[inputs[i]].c != first.c)
        throw Error("maps of " + first.text() + " and " + sizes[inputs[i]].text());
    if (numbers.n != 1 || numbers.c != 1) throw Error("numbers of " + numbers.text());
    return {1, numbers.h, numbers.w, first.c};
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& numbers = frame.floats(inputs[maps_]);
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    for (std::int64_t y = 0; y < out.h; ++y)
      for (std::int64_t x = 0; x < out.w; ++x) {
        const float number = numbers.data[y * numbers.row_stride + x * numbers.pixel_stride()];
        float* const to = out.data + y * out.row_stride + x * out.pixel_stride();
        const float* const from = pixel(frame, number);
        if (from == nullptr)
          std::fill_n(to, out.c, 0.0f);
        else
          std::copy_n(from, out.c, to);
      }
  }

 private:
  // The pixel with this number; null if there is none.
  const float* pixel(const Frame& frame, float number) const {
    if (!(number >= 0 && number < 9e15f)) return nullptr;
    auto left = static_cast<std::int64_t>(number);
    for (std::size_t i = 0; i < maps_; ++i) {
      const conv::FloatMap& in = frame.floats(inputs[i]);
      const std::int64_t count = static_cast<std::int64_t>(in.h) * in.w;
      if (left < count)
        return in.data + left / in.w * in.row_stride + left % in.w * in.pixel_stride();
      left -= count;
    }
    return nullptr;
  }

  std::size_t maps_;
};

const Registered<ChosenPixels> registered("ChosenPixels");

}  // namespace
}  // namespace lbw
