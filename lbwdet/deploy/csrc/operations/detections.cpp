// Class Detections: candidates, and their masks in the image, as the result.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

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
        aligned_(fields.flag("mask_aligned")),
        cropped_(fields.flag("mask_cropped")),
        boxed_(fields.flag("boxed_masks")),
        scored_(fields.flag("scored_masks")) {
    const std::string extent = fields.text("mask_extent");
    of_boxes_ = extent == "box", bounds_ = extent == "bounds", scaled_ = extent == "scaled";
    if (!of_boxes_ && !bounds_ && !scaled_ && extent != "canvas")
      throw Error("this build has no masks of the extent " + extent);
    expect(factor_ > 0 || (factor_ == 0 && bounds_ && !aligned_),
           "mask_factor must be positive, or 0 up to the bounds of boxes");
    expect(!(boxed_ || scored_) || (has_masks() && !of_boxes_), "there are no masks of the image");
  }

  Shape shape(const Sizes& sizes) const override {
    const std::int64_t count = candidates(sizes, inputs[0]);
    if (has_masks()) {
      const Shape& masks = sizes[inputs[1]];
      if (masks.n != count || masks.c != 1 || masks.h < 1 || masks.w < 1)
        throw Error("masks of " + masks.text() + " for " + std::to_string(count) + " candidates");
      const int factor = std::max(factor_, 1);
      if (masks.h > kMostPixels / factor || masks.w > kMostPixels / factor)
        throw Error("masks of " + masks.text() + " are too large");
    }
    return {};
  }

  double scratch(const Sizes& sizes) const override {
    if (!has_masks()) return 0;
    // Runs are kept outside of the scratch memory, but counted here.
    const Shape& masks = sizes[inputs[1]];
    const double runs = most_runs(masks.h, masks.n, sizes.image);
    const double lines = of_boxes_ ? paste_scratch(masks.h, sizes.image.height)
                                   : of_thread(masks.h, masks.w, sizes.image.height);
    return lines * sizes.threads + scratch_bytes<std::uint32_t>(runs);
  }

  double work(const Sizes& sizes) const override {
    if (!has_masks()) return 0;
    const Shape& masks = sizes[inputs[1]];
    const double of_pixel = covers() ? 16 : 1;  // an exponential
    return masks.n * (of_pixel * sizes.image.height + masks.h) * sizes.image.width;
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
    if (!has_masks()) return;
    const conv::FloatMap& masks = frame.floats(inputs[1]);
    expect(masks.n == rows.count, "masks and candidates differ in number");
    std::atomic<std::int64_t> left{
        static_cast<std::int64_t>(most_runs(masks.h, masks.n, frame.image.size))};
    of_boxes_ ? paste_masks(frame, rows, left) : spread_masks(frame, rows, left);
  }

 private:
  static constexpr std::int64_t kMostPixels = 1 << 28;  // of a side

  bool has_masks() const { return inputs.size() > 1; }

  // Whether boxes or scores are made of the pixels.
  bool covers() const { return boxed_ || scored_; }

  // Runs that all masks may have. Along a column, values between two of a mask's rows are a
  // straight line, which crosses the threshold once. Of a mask that is the threshold nearly
  // everywhere rounding makes more, up to one per pixel: there is room for one such mask.
  static double most_runs(std::int64_t height, std::int64_t count, Size image) {
    const double rows = (static_cast<double>(height) + 3) * static_cast<double>(count);
    return std::max(rows, 1.0 * image.height) * image.width;
  }

  static void keep(std::vector<std::uint32_t> runs, Detection& detection,
                   std::atomic<std::int64_t>& left) {
    const auto count = static_cast<std::int64_t>(runs.size());
    if (left.fetch_sub(count, std::memory_order_relaxed) < count)
      throw Error("masks have more runs than memory is planned for: they are near the threshold");
    detection.mask = std::move(runs);
  }

  void paste_masks(Frame& frame, const Candidates& rows, std::atomic<std::int64_t>& left) const {
    const conv::FloatMap& masks = frame.floats(inputs[1]);
    const Size size = frame.image.size;
    const auto scratch =
        frame.scratch.parts(paste_scratch(masks.h, size.height), frame.pool.threads());
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      for (std::int64_t i = begin; i < end; ++i)
        keep(paste({masks.data + i * masks.image_stride, masks.h, masks.w}, rows.data[i].box,
                   threshold_, size.height, size.width, scratch.of(thread)),
             frame.detections[i], left);
    });
  }

  void spread_masks(Frame& frame, const Candidates& rows, std::atomic<std::int64_t>& left) const {
    const conv::FloatMap& masks = frame.floats(inputs[1]);
    const Size size = frame.image.size, resized = frame.resized;
    const Enlargement down = enlargement(masks.h, size.height, frame.bounds.height,
                                         static_cast<double>(resized.width) / size.width);
    const Enlargement across = enlargement(masks.w, size.width, frame.bounds.width,
                                           static_cast<double>(resized.height) / size.height);
    const auto scratch =
        frame.scratch.parts(of_thread(masks.h, masks.w, size.height), frame.pool.threads());
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      for (std::int64_t i = begin; i < end; ++i) {
        Scratch room = scratch.of(thread);
        const float* mask = masks.data + i * masks.image_stride;
        if (cropped_) mask = crop(mask, masks, rows.data[i].box, size, room);
        Cover cover(frame.loops, room.take<double>(covers() ? size.height : 0));
        Detection& found = frame.detections[i];
        keep(spread(mask, down, across, threshold_, size.height, size.width, room,
                    covers() ? &cover : nullptr),
             found, left);
        if (scored_) found.score *= cover.mean();
        if (!boxed_) continue;
        const Box box = cover.box();
        found.box[0] = box.x1, found.box[1] = box.y1, found.box[2] = box.x2, found.box[3] = box.y2;
      }
    });
  }

  double of_thread(std::int64_t height, std::int64_t width, int image_height) const {
    const double pixels = static_cast<double>(height) * static_cast<double>(width);
    return spread_scratch(static_cast<double>(height), image_height) +
           (covers() ? scratch_bytes<double>(image_height) : 0) +
           (cropped_ ? scratch_bytes<float>(pixels) : 0);
  }

  // A mask with zeros outside of a box, which is in pixels of the image.
  static const float* crop(const float* mask, const conv::FloatMap& like, const Box& box,
                           Size image, Scratch& memory) {
    float* const out = memory.take<float>(like.image_stride);
    const Range columns(box.x1, box.x2, like.w, image.width);
    const Range rows(box.y1, box.y2, like.h, image.height);
    for (int y = 0; y < like.h; ++y)
      for (int x = 0; x < like.w; ++x) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(y) * like.w + x;
        out[at] = rows.holds(y) && columns.holds(x) ? mask[at] : 0.0f;
      }
    return out;
  }

  // Pixels of a side of a mask that belong to a box.
  struct Range {
    Range(float first, float second, int pixels, int original) {
      const auto ratio = static_cast<float>(static_cast<double>(pixels) / original);
      const float a = first * ratio, b = second * ratio;
      low = std::min(a, b) - 1, high = std::max(a, b) + 1;
    }
    bool holds(int pixel) const {
      return static_cast<float>(pixel) >= low && static_cast<float>(pixel) < high;
    }
    float low, high;
  };

  // Of a side; `scale`: resized / original of the other one.
  Enlargement enlargement(int pixels, int original, int bound, double scale) const {
    const int whole = factor_ ? pixels * factor_ : bound;
    Enlargement made{pixels, factor_, whole, original, aligned_};
    if (bounds_) made.source = std::min(bound, whole);
    if (scaled_) made.target = static_cast<std::int64_t>(std::ceil(whole * (1 / scale)));
    return made;
  }

  float threshold_;
  int factor_;
  bool aligned_, cropped_, boxed_, scored_, of_boxes_, bounds_, scaled_;
};

const Registered<Detections> registered("Detections");

}  // namespace
}  // namespace lbw
