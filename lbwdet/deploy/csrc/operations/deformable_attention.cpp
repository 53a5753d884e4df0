// Class DeformableAttention: means of a few samples of several maps.
#include <algorithm>
#include <cmath>

#include "../arithmetic/boxes.h"
#include "operation.h"

namespace lbw {
namespace {

// The maps, then offsets and logits, then the references, if there are any.
std::vector<int> read(const Fields& fields) {
  std::vector<int> inputs = fields.values("values", Kind::bytes);
  inputs.push_back(fields.value("offsets", Kind::floats));
  inputs.push_back(fields.value("logits", Kind::floats));
  if (fields.has("references")) inputs.push_back(fields.value("references", Kind::floats));
  return inputs;
}

class DeformableAttention : public Operation {
 public:
  explicit DeformableAttention(const Fields& fields)
      : Operation(read(fields), fields.value("output", Kind::bytes)),
        heads_(fields.integer("heads")),
        points_(fields.integer("points")),
        ratios_(fields.floats("ratios")),
        levels_(ratios_.size()),
        references_(fields.has("references") ? inputs.back() : -1) {
    expect(heads_ > 0 && points_ > 0 && levels_ > 0, "no heads, points or maps");
    expect(inputs.size() == levels_ + (references_ < 0 ? 2 : 3), "not a ratio for each map");
    offsets_ = inputs[levels_];
    logits_ = inputs[levels_ + 1];
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &first = sizes[inputs[0]], &offsets = sizes[offsets_];
    for (std::size_t level = 0; level < levels_; ++level) {
      const Shape& in = sizes[inputs[level]];
      if (in.n != offsets.n || in.c != first.c || in.c % heads_ != 0 || in.h < 1 || in.w < 1)
        throw Error("maps of " + first.text() + " and " + in.text() + " in " +
                    std::to_string(heads_) + " heads");
    }
    const Shape wanted{offsets.n, offsets.h, offsets.w, heads_ * samples()};
    if (sizes[logits_] != wanted || offsets.c != 2 * wanted.c)
      throw Error("offsets of " + offsets.text() + " and logits of " + sizes[logits_].text());
    if (references_ >= 0) {
      const Shape& references = sizes[references_];
      if (references != Shape{wanted.n, wanted.h, wanted.w, references.c} ||
          (references.c != 2 && references.c != 4))
        throw Error("references of " + references.text() + " for " + offsets.text());
    }
    return {offsets.n, offsets.h, offsets.w, first.c};
  }

  double scratch(const Sizes& sizes) const override {
    return of_thread(static_cast<double>(sizes[inputs[0]].c)) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    // Four pixels per sample and channel; some eighty operations for its place and its weight.
    const Shape& out = sizes[output];
    const double queries = 1.0 * out.n * out.h * out.w, of_query = static_cast<double>(samples());
    return queries * of_query * (4.0 * static_cast<double>(out.c) + 80.0 * heads_);
  }

  void run(Frame& frame) const override {
    const conv::FloatMap &offsets = frame.floats(offsets_), &logits = frame.floats(logits_);
    expect(offsets.n == logits.n, "offsets and logits differ in number");
    for (std::size_t level = 0; level < levels_; ++level)
      expect(frame.bytes(inputs[level]).n == offsets.n, "queries and maps differ in number");
    if (references_ >= 0)
      expect(frame.floats(references_).n == offsets.n, "queries and places differ in number");
    const conv::Map& out = frame.begin_bytes(output, offsets.n);
    const auto parts = frame.scratch.parts(of_thread(out.c), frame.pool.threads());
    const std::int64_t queries = static_cast<std::int64_t>(offsets.n) * offsets.h * offsets.w;
    frame.pool.parallel(queries, 8, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      const Task task{part.take<double>(std::max<std::int64_t>(samples(), 4)),
                      part.take<float>(samples()), part.take<float>(out.c)};
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t x = index % offsets.w, y = index / offsets.w % offsets.h;
        const std::int64_t image = index / offsets.w / offsets.h;
        query(frame, task, image, y, x,
              out.data + image * out.image_stride + y * out.row_stride + x * out.c);
      }
    });
  }

 private:
  // What a thread needs for a query.
  struct Task {
    double* terms;
    float *weights, *sums;
  };

  // Where a query is: shares of a map's width and height; `width` < 0: a point.
  struct Place {
    float x, y, width, height;
  };

  // Of a head.
  std::int64_t samples() const {
    return static_cast<std::int64_t>(levels_) * points_;
  }

  double of_thread(double channels) const {
    const auto count = static_cast<double>(samples());
    return scratch_bytes<double>(std::max(count, 4.0)) + scratch_bytes<float>(count) +
           scratch_bytes<float>(channels);
  }

  static const float* at(const conv::FloatMap& map, std::int64_t image, std::int64_t y,
                         std::int64_t x) {
    return map.data + image * map.image_stride + y * map.row_stride + x * map.pixel_stride();
  }

  Place place(const Frame& frame, const Task& task, std::int64_t image, std::int64_t y,
              std::int64_t x) const {
    if (references_ < 0) {
      const conv::FloatMap& offsets = frame.floats(offsets_);
      return {(static_cast<float>(x) + 0.5f) / static_cast<float>(offsets.w),
              (static_cast<float>(y) + 0.5f) / static_cast<float>(offsets.h), -1, -1};
    }
    const conv::FloatMap& references = frame.floats(references_);
    const float* const given = at(references, image, y, x);
    for (int k = 0; k < references.c; ++k) task.terms[k] = static_cast<double>(given[k]);
    sigmoid(task.terms, references.c, frame.loops);
    const bool box = references.c == 4;
    return {static_cast<float>(task.terms[0]), static_cast<float>(task.terms[1]),
            box ? static_cast<float>(task.terms[2]) : -1,
            box ? static_cast<float>(task.terms[3]) : -1};
  }

  void query(const Frame& frame, const Task& task, std::int64_t image, std::int64_t y,
             std::int64_t x, std::uint8_t* to) const {
    const Place own = place(frame, task, image, y, x);
    const float* offset = at(frame.floats(offsets_), image, y, x);
    const float* logits = at(frame.floats(logits_), image, y, x);
    const std::size_t channels = frame.bytes(inputs[0]).c, depth = channels / heads_;
    std::fill_n(task.sums, channels, 0.0f);
    for (int head = 0; head < heads_; ++head, logits += samples()) {
      softmax(logits, samples(), frame.loops, task.terms, task.weights);
      const float* weight = task.weights;
      for (std::size_t level = 0; level < levels_; ++level)
        for (int point = 0; point < points_; ++point, offset += 2, ++weight)
          add(frame, level, image, own, offset, *weight * ratios_[level], head * depth, depth,
              task.sums + head * depth);
    }
    frame.loops.round(task.sums, frame.rounding(output), channels, to);
  }

  // The place of a sample along one side, in pixels.
  float along(float middle, float box, float offset, int side) const {
    const auto size = static_cast<float>(side);
    if (box < 0) return middle * size + offset - 0.5f;
    return (middle + offset * (box * (0.5f / static_cast<float>(points_)))) * size - 0.5f;
  }

  // One sample of some channels, to their sums.
  void add(const Frame& frame, std::size_t level, std::int64_t image, const Place& own,
           const float* offset, float scale, std::size_t first, std::size_t depth,
           float* sums) const {
    const conv::Map& in = frame.bytes(inputs[level]);
    const float u = along(own.x, own.width, offset[0], in.w);
    const float v = along(own.y, own.height, offset[1], in.h);
    // False of what is no number; only then is there an integer for what is below.
    const bool inside = v > -1 && v < static_cast<float>(in.h) && u > -1 &&
                        u < static_cast<float>(in.w);
    if (!inside) return;
    const float top = std::floor(v), left = std::floor(u), b = v - top, a = u - left;
    const auto row = static_cast<std::int64_t>(top), column = static_cast<std::int64_t>(left);
    const float weights[4] = {((1 - b) * (1 - a)) * scale, ((1 - b) * a) * scale,
                              (b * (1 - a)) * scale, (b * a) * scale};
    const auto zero = static_cast<float>(frame.descriptions[inputs[level]].zero_point);
    const std::int64_t from = std::max<std::int64_t>(column, 0);
    const std::int64_t end = std::min<std::int64_t>(column + 2, in.w);
    for (int down = 0; down < 2; ++down)
      if (row + down >= 0 && row + down < in.h)
        frame.loops.add_weighted(in.data + image * in.image_stride + (row + down) * in.row_stride +
                                     from * in.c + first,
                                 in.c, zero, weights + 2 * down + (from - column), end - from,
                                 depth, sums);
  }

  int heads_, points_;
  std::vector<float> ratios_;  // scales of the maps over that of the output
  std::size_t levels_;
  int references_, offsets_ = -1, logits_ = -1;  // values; -1: none
};

const Registered<DeformableAttention> registered("DeformableAttention");

}  // namespace
}  // namespace lbw
