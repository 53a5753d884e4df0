// Class ProposalBoxes: logits of the box that every pixel proposes.
#include "../arithmetic/elementary.h"
#include "../arithmetic/proposals.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr float kOutside = 100;

float logit(double p) { return static_cast<float>(logarithm(p / (1 - p))); }

class ProposalBoxes : public Operation {
 public:
  explicit ProposalBoxes(const Fields& fields)
      : Operation({fields.value("deltas", Kind::floats)}, fields.value("output", Kind::floats)),
        side_(fields.real("side")),
        margin_(fields.real("margin")) {
    expect(side_ > 0 && side_ < 1, "side");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (in.c != 4) throw Error("deltas of " + in.text());
    return in;
  }

  double scratch(const Sizes& sizes) const override {
    return scratch_bytes<float>(static_cast<double>(sizes[inputs[0]].w));
  }

  double work(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    return in.size() + 50.0 * static_cast<double>(in.h + in.w);
  }

  void run(Frame& frame) const override {
    const conv::FloatMap& in = frame.floats(inputs[0]);
    const conv::FloatMap& out = frame.begin_floats(output, in.n);
    float* const across = frame.scratch.take<float>(in.w);
    for (int x = 0; x < in.w; ++x) across[x] = logit((x + 0.5) / in.w);
    const float size = logit(static_cast<double>(side_));
    for (std::int64_t n = 0; n < in.n; ++n)
      for (std::int64_t y = 0; y < in.h; ++y) {
        const float down = logit((static_cast<double>(y) + 0.5) / in.h);
        const bool inner = is_inner(y, in.h, margin_);
        const float* from = in.data + n * in.image_stride + y * in.row_stride;
        float* to = out.data + n * out.image_stride + y * out.row_stride;
        for (std::int64_t x = 0; x < in.w; ++x, from += in.pixel_stride(), to += 4) {
          const float start[4] = {across[x], down, size, size};
          const bool proposes = inner && is_inner(x, in.w, margin_);
          for (int k = 0; k < 4; ++k) to[k] = proposes ? from[k] + start[k] : kOutside;
        }
      }
  }

 private:
  float side_, margin_;
};

const Registered<ProposalBoxes> registered("ProposalBoxes");

}  // namespace
}  // namespace lbw
