// Class Detections: candidates, and their masks in the image, as the result.
#include <algorithm>
#include <cmath>

#include "../arithmetic/candidates.h"
#include "../arithmetic/paste.h"
#include "../arithmetic/spread.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs{fields.value("input", Kind::floats)};
  if (fields.has("masks")) inputs.push_back(fields.value("masks", Kind::floats));
  return inputs;
}

class Detections : public Operation {
 public:
  explicit Detections(const Fields& fields)
      : Operation(inputs_of(fields), -1),
        threshold_(fields.real("mask_threshold")),
        factor_(fields.integer("mask_factor")),
        aligned_(fields.flag("mask_aligned")) {
    const std::string extent = fields.text("mask_extent");
    of_boxes_ = extent == "box", bounds_ = extent == "bounds", scaled_ = extent == "scaled";
    if (!of_boxes_ && !bounds_ && !scaled_ && extent != "canvas")
      throw Error("this build has no masks of the extent " + extent);
    expect(factor_ > 0, "mask_factor must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    const std::int64_t count = candidates(sizes, inputs[0]);
    if (has_masks()) {
      const Shape& masks = sizes[inputs[1]];
      if (masks.n != count || masks.c != 1 || masks.h < 1 || masks.w < 1)
        throw Error("masks of " + masks.text() + " for " + std::to_string(count) + " candidates");
      if (masks.h > kMostPixels / factor_ || masks.w > kMostPixels / factor_)
        throw Error("masks of " + masks.text() + " are too large");
    }
    return {};
  }

  double scratch(const Sizes& sizes) const override {
    if (!has_masks()) return 0;
    // Runs are kept outside of the scratch memory, but counted here: along a column, values between
    // two of the mask's rows are a straight line, which crosses the threshold once.
    const Shape& masks = sizes[inputs[1]];
    const double runs = (masks.h + 3.0) * sizes.image.width;
    const double lines = of_boxes_ ? paste_scratch(masks.h, sizes.image.height)
                                   : spread_scratch(masks.h, sizes.image.height);
    return lines * sizes.threads +
           scratch_bytes<std::uint32_t>(runs) * masks.n;
  }

  double work(const Sizes& sizes) const override {
    if (!has_masks()) return 0;
    const Shape& masks = sizes[inputs[1]];
    return masks.n * (1.0 * sizes.image.height + masks.h) * sizes.image.width;
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs[0]);
    frame.detections.clear();
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const Candidate& row = rows.data[i];
      const bool is_label = row.label >= 0 && row.label < 1 << 24;
      frame.detections.push_back({{row.box.x1, row.box.y1, row.box.x2, row.box.y2},
                                  row.score,
                                  is_label ? static_cast<std::int64_t>(row.label) : -1,
                                  {}});
    }
    if (has_masks() && of_boxes_) paste_masks(frame, rows);
    if (has_masks() && !of_boxes_) spread_masks(frame, rows);
  }

 private:
  static constexpr std::int64_t kMostPixels = 1 << 28;  // of a side

  bool has_masks() const { return inputs.size() > 1; }

  void paste_masks(Frame& frame, const Candidates& rows) const {
    const conv::FloatMap& masks = frame.floats(inputs[1]);
    expect(masks.n == rows.count, "masks and candidates differ in number");
    const Size size = frame.image.size;
    const auto scratch =
        frame.scratch.parts(paste_scratch(masks.h, size.height), frame.pool.threads());
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      for (std::int64_t i = begin; i < end; ++i)
        frame.detections[i].mask =
            paste({masks.data + i * masks.image_stride, masks.h, masks.w}, rows.data[i].box,
                  threshold_, size.height, size.width, scratch.of(thread));
    });
  }

  void spread_masks(Frame& frame, const Candidates& rows) const {
    const conv::FloatMap& masks = frame.floats(inputs[1]);
    expect(masks.n == rows.count, "masks and candidates differ in number");
    const Size size = frame.image.size, resized = frame.resized;
    const Enlargement down = enlargement(masks.h, size.height, frame.bounds.height,
                                         static_cast<double>(resized.width) / size.width);
    const Enlargement across = enlargement(masks.w, size.width, frame.bounds.width,
                                           static_cast<double>(resized.height) / size.height);
    const auto scratch =
        frame.scratch.parts(spread_scratch(masks.h, size.height), frame.pool.threads());
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      for (std::int64_t i = begin; i < end; ++i)
        frame.detections[i].mask = spread(masks.data + i * masks.image_stride, down, across,
                                          threshold_, size.height, size.width, scratch.of(thread));
    });
  }

  // Of a side; `scale`: resized / original of the other one.
  Enlargement enlargement(int pixels, int original, int bound, double scale) const {
    const int whole = pixels * factor_;
    Enlargement made{pixels, factor_, whole, original, aligned_};
    if (bounds_) made.source = std::min(bound, whole);
    if (scaled_) made.target = static_cast<std::int64_t>(std::ceil(whole * (1 / scale)));
    return made;
  }

  float threshold_;
  int factor_;
  bool aligned_, of_boxes_, bounds_, scaled_;
};

const Registered<Detections> registered("Detections");

}  // namespace
}  // namespace lbw
