// Class Mix: sums of float32 channels, pixel by pixel.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

constexpr double kLeastExponent = -700, kLargestExponent = 40;

class Mix : public Operation {
 public:
  explicit Mix(const Fields& fields)
      : Operation(fields.values("inputs", Kind::floats), fields.value("output", Kind::floats)),
        bias_(fields.floats("bias")) {
    expect(!inputs.empty() && !bias_.empty(), "it reads or writes nothing");
    const auto factors = fields.floats("factors");
    const std::size_t outputs = bias_.size();
    channels_ = factors.size() / outputs;
    expect(channels_ > 0 && channels_ * outputs == factors.size(), "factors or bias");
    for (std::size_t o = 0; o < outputs; ++o) {
      for (std::size_t i = 0; i < channels_; ++i)
        if (const float factor = factors[o * channels_ + i]; factor != 0)
          terms_.push_back({static_cast<int>(i), factor});
      ends_.push_back(terms_.size());
    }
    for (const std::int32_t index : fields.integers("exponential")) {
      expect(index >= 0 && static_cast<std::size_t>(index) < channels_, "exponential");
      exponential_.push_back(index);
    }
    if (fields.has("limits")) limits_ = fields.floats("limits", channels_);
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& first = sizes[inputs[0]];
    std::int64_t channels = 0;
    for (const int input : inputs) {
      const Shape& in = sizes[input];
      channels += in.c;
      if (in.n != 1 || in.h != first.h || in.w != first.w)
        throw Error("maps of " + first.text() + " and " + in.text());
    }
    if (channels != static_cast<std::int64_t>(channels_))
      throw Error("factors of " + std::to_string(channels_) + " channels for " +
                  std::to_string(channels));
    return {1, first.h, first.w, static_cast<std::int64_t>(bias_.size())};
  }

  double scratch(const Sizes& sizes) const override { return of_thread() * sizes.threads; }

  double work(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    const auto of_pixel = static_cast<double>(terms_.size() + channels_ + bias_.size()) +
                          16 * static_cast<double>(exponential_.size());
    return 1.0 * out.h * out.w * of_pixel;
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& out = frame.begin_floats(output, 1);
    const auto scratch = frame.scratch.parts(of_thread(), frame.pool.threads());
    frame.pool.parallel(out.h, 4, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch memory = scratch.of(thread);
      float* const x = memory.take<float>(channels_);
      double* const powers = memory.take<double>(exponential_.size());
      for (std::int64_t row = begin; row < end; ++row)
        for (std::int64_t column = 0; column < out.w; ++column) {
          gather(frame, row, column, x, powers);
          float* const to = out.data + row * out.row_stride + column * out.pixel_stride();
          std::size_t term = 0;
          for (std::size_t o = 0; o < bias_.size(); ++o) {
            float t = bias_[o];
            for (; term < ends_[o]; ++term) t = t + x[terms_[term].channel] * terms_[term].factor;
            to[o] = t;
          }
        }
    });
  }

 private:
  struct Term {
    int channel;
    float factor;
  };

  double of_thread() const {
    return scratch_bytes<float>(static_cast<double>(channels_)) +
           scratch_bytes<double>(static_cast<double>(exponential_.size()));
  }

  // The channels of a pixel of all inputs.
  void gather(const Frame& frame, std::int64_t row, std::int64_t column, float* x,
              double* powers) const {
    float* next = x;
    for (const int input : inputs) {
      const conv::FloatMap& in = frame.floats(input);
      const float* const from = in.data + row * in.row_stride + column * in.pixel_stride();
      next = std::copy_n(from, in.c, next);
    }
    for (std::size_t i = 0; i < limits_.size(); ++i) x[i] = std::clamp(x[i], -limits_[i], limits_[i]);
    const std::size_t count = exponential_.size();
    for (std::size_t i = 0; i < count; ++i)
      powers[i] = std::clamp<double>(x[exponential_[i]], kLeastExponent, kLargestExponent);
    frame.loops.exponentials(powers, count);
    for (std::size_t i = 0; i < count; ++i) x[exponential_[i]] = static_cast<float>(powers[i]);
  }

  std::vector<float> bias_;
  std::size_t channels_ = 0;
  std::vector<Term> terms_;        // of all outputs, one after the other
  std::vector<std::size_t> ends_;  // of each output's terms
  std::vector<int> exponential_;
  std::vector<float> limits_;  // of the channels; empty: none
};

const Registered<Mix> registered("Mix");

}  // namespace
}  // namespace lbw
