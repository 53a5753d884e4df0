// Class DynamicMasks: a mask of the image for each candidate, by a small network of its own.
#include <algorithm>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr int kBlock = 256;  // pixels that are computed together

class DynamicMasks : public Operation {
 public:
  explicit DynamicMasks(const Fields& fields)
      : Operation({fields.value("kernels", Kind::floats), fields.value("features", Kind::floats)},
                  fields.value("output", Kind::floats)),
        bias_(fields.flag("bias")),
        probabilities_(fields.flag("probabilities")),
        reach_(fields.real("reach")),
        step_(static_cast<float>(fields.integer("step"))),
        offset_(fields.real("offset")) {
    for (const int count : fields.integers("channels")) {
      expect(count > 0, "a layer without outputs");
      channels_.push_back(count);
      widest_ = std::max<std::int64_t>(widest_, count);
    }
    expect(!channels_.empty() && channels_.back() == 1, "the last layer has one output");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &kernels = sizes[inputs[0]], &features = sizes[inputs[1]];
    if (features.n != 1 || features.h < 1 || features.w < 1 ||
        kernels != Shape{kernels.n, 1, 1, numbers(features.c)})
      throw Error("kernels of " + kernels.text() + " for features of " + features.text());
    return {kernels.n, features.h, features.w, 1};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(sizes[inputs[1]].c) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    return sizes[output].size() *
           (static_cast<double>(numbers(sizes[inputs[1]].c)) + (probabilities_ ? 16 : 0));
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &kernels = frame.floats(inputs[0]), &features = frame.floats(inputs[1]);
    const conv::FloatMap& out = frame.begin_floats(output, kernels.n);
    const std::int64_t pixels = static_cast<std::int64_t>(features.h) * features.w;
    const auto parts = frame.scratch.parts(of_thread(features.c), frame.pool.threads());
    const std::int64_t blocks = (pixels + kBlock - 1) / kBlock;
    frame.pool.parallel(blocks, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Room room(parts.of(thread), features.c, widest_);
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t first = block * kBlock;
        const int count = static_cast<int>(std::min<std::int64_t>(kBlock, pixels - first));
        const float* const from = features.data + first * features.c;
        for (int c = 0; c < features.c; ++c)
          for (int i = 0; i < count; ++i)
            room.planes[(c + 2) * kBlock + i] = from[static_cast<std::ptrdiff_t>(i) * features.c + c];
        for (std::int64_t n = 0; n < kernels.n; ++n)
          mask(frame, kernels.data + n * kernels.image_stride, features, first, count, room,
               out.data + n * out.image_stride + first);
      }
    });
  }

 private:
  struct Room {
    Room(Scratch part, std::int64_t features, std::int64_t widest)
        : planes(part.take<float>((features + 2) * kBlock)),
          layers{part.take<float>(widest * kBlock), part.take<float>(widest * kBlock)},
          terms(part.take<double>(kBlock)) {}

    float* planes;  // two of places, then those of the features
    float* layers[2];
    double* terms;
  };

  double of_thread(std::int64_t features) const {
    return scratch_bytes<float>(static_cast<double>(features + 2) * kBlock) +
           2 * scratch_bytes<float>(static_cast<double>(widest_) * kBlock) +
           scratch_bytes<double>(kBlock);
  }

  bool has_places() const { return reach_ > 0; }

  // Weights of a network; with the biases and the place: all its numbers.
  std::int64_t weights(std::int64_t features) const {
    std::int64_t total = 0, from = features + (has_places() ? 2 : 0);
    for (const int to : channels_) total += from * to, from = to;
    return total;
  }
  std::int64_t numbers(std::int64_t features) const {
    std::int64_t biases = 0;
    for (const int to : channels_) biases += bias_ ? to : 0;
    return weights(features) + biases + (has_places() ? 3 : 0);
  }

  void mask(const Frame& frame, const float* kernel, const conv::FloatMap& features,
            std::int64_t first, int count, const Room& room, float* out) const {
    const float* bias = kernel + weights(features.c);
    const float* in = room.planes + 2 * kBlock;
    std::int64_t from = features.c;
    if (has_places()) {
      const float* const place = kernel + numbers(features.c) - 3;
      const float unit = place[2] * reach_;
      for (int i = 0; i < count; ++i) {
        const auto column = static_cast<float>((first + i) % features.w);
        const auto row = static_cast<float>((first + i) / features.w);
        room.planes[i] = (place[0] - (column + offset_) * step_) / unit;
        room.planes[kBlock + i] = (place[1] - (row + offset_) * step_) / unit;
      }
      in = room.planes, from += 2;
    }
    for (std::size_t layer = 0; layer < channels_.size(); ++layer) {
      const bool last = layer + 1 == channels_.size();
      float* const made = last ? out : room.layers[layer % 2];
      for (int o = 0; o < channels_[layer]; ++o, kernel += from) {
        float* const to = made + static_cast<std::ptrdiff_t>(o) * kBlock;
        sum(in, kernel, from, count, to);
        if (bias_) {
          for (int i = 0; i < count; ++i) to[i] += *bias;
          ++bias;
        }
        if (last) continue;
        for (int i = 0; i < count; ++i) to[i] = to[i] < 0 ? 0.0f : to[i];
      }
      in = made, from = channels_[layer];
    }
    if (!probabilities_) return;
    std::copy_n(out, count, room.terms);
    sigmoid(room.terms, count, frame.loops);
    for (int i = 0; i < count; ++i) out[i] = static_cast<float>(room.terms[i]);
  }

  // Of planes times weights, one after the other.
  static void sum(const float* planes, const float* weights, std::int64_t inputs, int count,
                  float* __restrict out) {
    float sums[kBlock];
    std::fill_n(sums, count, 0.0f);
    for (std::int64_t k = 0; k < inputs; ++k) {
      const float weight = weights[k];
      const float* const plane = planes + k * kBlock;
      for (int i = 0; i < count; ++i) sums[i] += weight * plane[i];
    }
    std::copy_n(sums, count, out);
  }

  std::vector<int> channels_;
  std::int64_t widest_ = 1;
  bool bias_, probabilities_;
  float reach_, step_, offset_;
};

const Registered<DynamicMasks> registered("DynamicMasks");

}  // namespace
}  // namespace lbw
