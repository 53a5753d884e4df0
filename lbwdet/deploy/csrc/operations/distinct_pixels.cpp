// Class DistinctPixels: the best pixels whose boxes do not overlap.
#include <algorithm>
#include <cmath>

#include "../arithmetic/boxes.h"
#include "../arithmetic/proposals.h"
#include "operation.h"

namespace lbw {
namespace {

// Scores, as many maps of boxes, then the numbers of the pixels that count, if not all do.
std::vector<int> read(const Fields& fields) {
  std::vector<int> inputs = fields.values("scores", Kind::floats);
  const std::vector<int> boxes = fields.values("boxes", Kind::floats);
  expect(!inputs.empty() && inputs.size() == boxes.size(), "not a map of boxes for each of scores");
  inputs.insert(inputs.end(), boxes.begin(), boxes.end());
  if (fields.has("among")) inputs.push_back(fields.value("among", Kind::floats));
  return inputs;
}

class DistinctPixels : public Operation {
 public:
  explicit DistinctPixels(const Fields& fields)
      : Operation(read(fields), fields.value("output", Kind::floats)),
        maps_(inputs.size() / 2),
        count_(fields.integer("count")),
        iou_threshold_(fields.real("iou_threshold")) {
    expect(count_ > 0, "count must be positive");
  }

  Shape shape(const Sizes& sizes) const override {
    for (std::size_t i = 0; i < maps_; ++i) {
      const Shape &scores = sizes[inputs[i]], &boxes = sizes[inputs[maps_ + i]];
      if (scores != Shape{1, boxes.h, boxes.w, scores.c} || boxes.c != 4 || boxes.n != 1)
        throw Error("scores of " + scores.text() + " and boxes of " + boxes.text());
    }
    if (some() && sizes[inputs.back()] != Shape{1, 1, sizes[inputs.back()].w, 1})
      throw Error("numbers of " + sizes[inputs.back()].text());
    if (pixels(sizes) > kMostNumbers) throw Error("too many pixels to choose from");
    return {1, 1, count_, 1};
  }

  double scratch(const Sizes& sizes) const override {
    const double count = pixels(sizes);
    return scratch_bytes<double>(std::max(count, 4.0)) + scratch_bytes<std::uint64_t>(count) +
           5 * scratch_bytes<float>(count) + scratch_bytes<std::int32_t>(count) +
           scratch_bytes<std::uint8_t>(count) + scratch_bytes<const float*>(count);
  }

  double work(const Sizes& sizes) const override {
    double read = 0;
    for (std::size_t i = 0; i < maps_; ++i) read += sizes[inputs[i]].size();
    const double count = pixels(sizes), kept = std::min(count, 1.0 * count_);
    return read + 100 * count + kept * (count - kept / 2) + count * std::log2(count + 1);
  }

  void run(Frame& frame) const override {
    std::size_t total = 0;
    for (std::size_t i = 0; i < maps_; ++i) {
      const conv::FloatMap& in = frame.floats(inputs[i]);
      total += static_cast<std::size_t>(in.h) * in.w;
    }
    double* const terms = frame.scratch.take<double>(std::max<std::size_t>(total, 4));
    auto* const ranks = frame.scratch.take<std::uint64_t>(total);
    float* columns[5];
    for (float*& column : columns) column = frame.scratch.take<float>(total);
    auto* const dropped = frame.scratch.take<std::int32_t>(total);
    auto* const counts = frame.scratch.take<std::uint8_t>(total);
    auto* const boxes = frame.scratch.take<const float*>(total);
    std::size_t number = 0;
    for (std::size_t i = 0; i < maps_; ++i) {
      const conv::FloatMap &in = frame.floats(inputs[i]), &of = frame.floats(inputs[maps_ + i]);
      for (std::int64_t y = 0; y < in.h; ++y)
        for (std::int64_t x = 0; x < in.w; ++x, ++number) {
          const float* const logits = in.data + y * in.row_stride + x * in.pixel_stride();
          terms[number] = static_cast<double>(*std::max_element(logits, logits + in.c));
          boxes[number] = of.data + y * of.row_stride + x * of.pixel_stride();
        }
    }
    sigmoid(terms, total, frame.loops);
    std::fill_n(counts, total, std::uint8_t{1});
    if (some()) mark_counted(frame.floats(inputs.back()), static_cast<std::int64_t>(total), counts);
    std::size_t count = 0;
    for (std::size_t i = 0; i < total; ++i)
      if (counts[i])
        ranks[count++] = rank(static_cast<float>(terms[i]), static_cast<std::uint32_t>(i));
    std::sort(ranks, ranks + count);
    for (std::size_t i = 0; i < count; ++i) {
      const float* const logits = boxes[ranked_index(ranks[i])];
      for (int k = 0; k < 4; ++k) terms[k] = static_cast<double>(logits[k]);
      sigmoid(terms, 4, frame.loops);
      for (int axis = 0; axis < 2; ++axis) {
        const auto middle = static_cast<float>(terms[axis]);
        const float half = 0.5f * static_cast<float>(terms[2 + axis]);
        columns[axis][i] = middle - half;
        columns[2 + axis][i] = middle + half;
      }
      columns[4][i] = (columns[2][i] - columns[0][i]) * (columns[3][i] - columns[1][i]);
      dropped[i] = 0;
    }
    const BoxColumns view{columns[0], columns[1], columns[2], columns[3], columns[4]};
    float* const out = frame.begin_floats(output, 1).data;
    std::int64_t kept = 0;
    for (std::size_t i = 0; i < count && kept < count_; ++i) {
      if (dropped[i]) continue;
      out[kept++] = static_cast<float>(ranked_index(ranks[i]));
      frame.pool.check();
      frame.loops.mark_overlaps(view, i, count, iou_threshold_, dropped);
    }
    std::fill(out + kept, out + count_, -1.0f);
  }

 private:
  bool some() const { return inputs.size() > 2 * maps_; }

  double pixels(const Sizes& sizes) const {
    double found = 0;
    for (std::size_t i = 0; i < maps_; ++i)
      found += static_cast<double>(sizes[inputs[i]].h) * static_cast<double>(sizes[inputs[i]].w);
    return found;
  }

  std::size_t maps_;
  std::int64_t count_;
  float iou_threshold_;
};

const Registered<DistinctPixels> registered("DistinctPixels");

}  // namespace
}  // namespace lbw
