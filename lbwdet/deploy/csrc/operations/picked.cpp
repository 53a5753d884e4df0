// Class Picked: what maps say at the places of candidates.
#include <algorithm>

#include "../arithmetic/candidates.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs = fields.values("inputs", Kind::floats);
  inputs.push_back(fields.value("candidates", Kind::floats));
  return inputs;
}

class Picked : public Operation {
 public:
  explicit Picked(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::floats)),
        levels_(inputs.size() - 1),
        anchors_(fields.integer("anchors")),
        tanh_(fields.flag("tanh")),
        offset_(fields.real("offset")) {
    if (fields.has("strides"))
      for (const int stride : fields.integers("strides"))
        strides_.push_back(static_cast<float>(stride));
    expect(anchors_ > 0 && levels_ > 0, "there are no anchors");
    expect(strides_.empty() || strides_.size() == levels_, "every level needs a stride");
  }

  Shape shape(const Sizes& sizes) const override {
    const std::int64_t channels = sizes[inputs[0]].c;
    for (std::size_t l = 0; l < levels_; ++l) {
      const Shape& map = sizes[inputs[l]];
      if (map.n != 1 || map.h < 1 || map.w < 1 || map.c != channels || map.c % anchors_ != 0)
        throw Error("a map of " + map.text() + " for " + std::to_string(anchors_) + " anchors");
    }
    const std::int64_t places = strides_.empty() ? 0 : 3;
    return {candidates(sizes, inputs[levels_]), 1, 1, channels / anchors_ + places};
  }

  double scratch(const Sizes& sizes) const override {
    return scratch_bytes<double>(static_cast<double>(sizes[output].c));
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() * (tanh_ ? 16 : 1);
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[levels_]);
    const conv::FloatMap& out = frame.begin_floats(output, rows.count);
    const int channels = frame.floats(inputs[0]).c / static_cast<int>(anchors_);
    auto* const terms = frame.scratch.take<double>(channels);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      float* const to = out.data + i * out.image_stride;
      std::size_t level = 0;
      std::int64_t number = number_of(rows.data[i]);
      for (; level + 1 < levels_ && number >= anchors_of(frame, level); ++level)
        number -= anchors_of(frame, level);
      number = std::min(number, anchors_of(frame, level) - 1);
      const conv::FloatMap& map = frame.floats(inputs[level]);
      const float* const from = map.data + number * channels;
      if (tanh_) {
        for (int c = 0; c < channels; ++c) terms[c] = 2.0 * static_cast<double>(from[c]);
        sigmoid_of(terms, channels, frame.loops);
        for (int c = 0; c < channels; ++c) to[c] = static_cast<float>(2 * terms[c] - 1);
      } else {
        std::copy_n(from, channels, to);
      }
      if (strides_.empty()) continue;
      const std::int64_t cell = number / anchors_;
      to[channels] = (static_cast<float>(cell % map.w) + offset_) * strides_[level];
      to[channels + 1] = (static_cast<float>(cell / map.w) + offset_) * strides_[level];
      to[channels + 2] = strides_[level];
    }
  }

 private:
  // values[i] becomes its sigmoid, in float64.
  static void sigmoid_of(double* values, int count, const Loops& loops) {
    for (int i = 0; i < count; ++i) values[i] = std::clamp(-values[i], -700.0, 700.0);
    loops.exponentials(values, count);
    for (int i = 0; i < count; ++i) values[i] = 1 / (1 + values[i]);
  }

  std::int64_t anchors_of(const Frame& frame, std::size_t level) const {
    const conv::FloatMap& map = frame.floats(inputs[level]);
    return static_cast<std::int64_t>(map.h) * map.w * anchors_;
  }

  std::size_t levels_;
  std::int64_t anchors_;
  bool tanh_;
  float offset_;
  std::vector<float> strides_;
};

const Registered<Picked> registered("Picked");

}  // namespace
}  // namespace lbw
