// Class PlaceAttention: means of pixels, weighted by how far away each of them is.
#include <algorithm>

#include "operation.h"

namespace lbw {
namespace {

class PlaceAttention : public Operation {
 public:
  explicit PlaceAttention(const Fields& fields)
      : Operation({fields.value("query", Kind::bytes), fields.value("value", Kind::bytes)},
                  fields.value("output", Kind::bytes)),
        across_(fields.floats("across_table")),
        down_(fields.floats("down_table")),
        heads_(fields.integer("heads")),
        step_(fields.integer("step")),
        ratio_(fields.real("ratio")) {
    expect(heads_ > 0 && step_ > 0, "no such heads and steps");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &query = sizes[inputs[0]], &value = sizes[inputs[1]];
    const auto has = [&](const std::vector<float>& table, std::int64_t queries,
                         std::int64_t values) {
      return values >= 1 &&
             static_cast<std::int64_t>(table.size()) ==
                 (queries + (values - 1) * step_) * query.c;
    };
    if (query.n != value.n || query.h != query.w || query.c % heads_ != 0 || value.c % heads_ != 0 ||
        !has(across_, query.w, value.w) || !has(down_, query.h, value.h))
      throw Error("attention of " + query.text() + " to " + value.text());
    return {query.n, query.h, query.w, value.c};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& value = sizes[inputs[1]];
    return of_thread(sizes[inputs[0]].c, value.h, value.w, value.c) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape &query = sizes[inputs[0]], &value = sizes[inputs[1]];
    const auto keys = static_cast<double>(value.h * value.w);  // a power: some fifty operations
    return 1.0 * query.n * query.h * query.w *
           (static_cast<double>((value.h + value.w) * query.c) +
            keys * static_cast<double>(value.c) + keys * 50.0 * heads_);
  }

  void run(Frame& frame) const override {
    const conv::Map &query = frame.bytes(inputs[0]), &value = frame.bytes(inputs[1]);
    expect(query.n == value.n, "queries and values differ in number");
    const conv::Map& out = frame.begin_bytes(output, query.n);
    const auto parts = frame.scratch.parts(of_thread(query.c, value.h, value.w, value.c),
                                           frame.pool.threads());
    const std::int64_t rows = static_cast<std::int64_t>(query.n) * query.h;
    frame.pool.parallel(rows, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      const std::size_t keys = static_cast<std::size_t>(value.h) * value.w;
      const Room room{part.take<float>(query.c), part.take<float>(query.c),
                      part.take<float>(value.w), part.take<float>(value.h),
                      part.take<double>(keys),   part.take<float>(keys),
                      part.take<float>(value.c)};
      for (std::int64_t row = begin; row < end; ++row)
        for (int x = 0; x < query.w; ++x)
          attend(frame, query, value, out, row / query.h, static_cast<int>(row % query.h), x, room);
    });
  }

 private:
  // A thread's: q and p, a and d of the contract, and so on.
  struct Room {
    float *query, *turned, *across, *down;
    double* powers;
    float *weights, *sums;
  };

  double of_thread(std::int64_t channels, std::int64_t rows, std::int64_t columns,
                   std::int64_t depth) const {
    const auto reals = [](std::int64_t count) {
      return scratch_bytes<float>(static_cast<double>(count));
    };
    return 2 * reals(channels) + reals(columns) + reals(rows) + reals(depth) +
           reals(rows * columns) + scratch_bytes<double>(static_cast<double>(rows * columns));
  }

  static void center(const std::uint8_t* from, int count, int zero, float* to) {
    for (int c = 0; c < count; ++c) to[c] = static_cast<float>(from[c] - zero);
  }

  // Products of a head's channels with the numbers of each distance, from the query at `place`.
  void products(const float* query, std::int64_t first, std::int64_t count, std::int64_t channels,
                const std::vector<float>& table, std::int64_t place, std::int64_t keys,
                float* sums) const {
    for (std::int64_t key = 0; key < keys; ++key) {
      const float* const numbers =
          table.data() + (place + (keys - 1 - key) * step_) * channels + first;
      float sum = 0;
      for (std::int64_t c = 0; c < count; ++c) sum = sum + query[first + c] * numbers[c];
      sums[key] = sum;
    }
  }

  void attend(Frame& frame, const conv::Map& query, const conv::Map& value, const conv::Map& out,
              std::int64_t image, int y, int x, const Room& room) const {
    const std::uint8_t* const queries = query.data + image * query.image_stride;
    const int zero = frame.descriptions[inputs[0]].zero_point;
    // That of the pixel itself, and of the one on the other side of the diagonal.
    center(queries + y * query.row_stride + x * query.c, query.c, zero, room.query);
    center(queries + x * query.row_stride + y * query.c, query.c, zero, room.turned);
    const auto zero_value = static_cast<float>(frame.descriptions[inputs[1]].zero_point);
    std::fill_n(room.sums, value.c, 0.0f);
    const std::int64_t depth = query.c / heads_, value_depth = value.c / heads_;
    const std::size_t keys = static_cast<std::size_t>(value.h) * value.w;
    for (int head = 0; head < heads_; ++head) {
      products(room.query, head * depth, depth, query.c, across_, x, value.w, room.across);
      products(room.turned, head * depth, depth, query.c, down_, y, value.h, room.down);
      for (int j = 0; j < value.h; ++j)
        for (int i = 0; i < value.w; ++i)
          room.weights[j * value.w + i] = room.down[j] + room.across[i];
      const float largest = *std::max_element(room.weights, room.weights + keys);
      for (std::size_t j = 0; j < keys; ++j)
        room.powers[j] = std::max(
            static_cast<double>(room.weights[j]) - static_cast<double>(largest), -700.0);
      frame.loops.exponentials(room.powers, keys);
      double sum = 0;
      for (std::size_t j = 0; j < keys; ++j) sum += room.powers[j];
      for (std::size_t j = 0; j < keys; ++j)
        room.weights[j] = static_cast<float>(room.powers[j] / sum);
      for (int j = 0; j < value.h; ++j)
        frame.loops.add_weighted(value.data + image * value.image_stride + j * value.row_stride +
                                     head * value_depth,
                                 value.c, zero_value, room.weights + j * value.w, value.w,
                                 value_depth, room.sums + head * value_depth);
    }
    for (int c = 0; c < value.c; ++c) room.sums[c] *= ratio_;
    frame.loops.round(room.sums, frame.rounding(output), value.c,
                      out.data + image * out.image_stride + y * out.row_stride + x * out.c);
  }

  std::vector<float> across_, down_;
  int heads_, step_;
  float ratio_;
};

const Registered<PlaceAttention> registered("PlaceAttention");

}  // namespace
}  // namespace lbw
