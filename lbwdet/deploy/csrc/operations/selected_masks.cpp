// Class SelectedMasks: a mask of the image for each candidate: a channel of some map.
#include <algorithm>

#include "../arithmetic/candidates.h"
#include "../arithmetic/spread.h"
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs = fields.values("inputs", Kind::bytes);
  if (fields.has("others"))
    for (const int value : fields.values("others", Kind::bytes)) inputs.push_back(value);
  inputs.push_back(fields.value("candidates", Kind::floats));
  return inputs;
}

class SelectedMasks : public Operation {
 public:
  explicit SelectedMasks(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::floats)),
        has_others_(fields.has("others")),
        scales_(fields.floats("scales", inputs.size() - 1)) {
    for (const int grid : fields.integers("grids")) {
      expect(grid > 0 && grid <= 1 << 12, "no such grid");
      grids_.push_back(grid);
    }
    expect(!grids_.empty() && inputs.size() == (has_others_ ? 2 : 1) * grids_.size() + 1,
           "every level needs a grid, and another map if others have one");
  }

  Shape shape(const Sizes& sizes) const override {
    for (std::size_t l = 0; l < grids_.size(); ++l) {
      const Shape &map = sizes[inputs[l]], &other = sizes[inputs[other_of(l)]];
      const std::int64_t channels = has_others_ ? grids_[l] : grids_[l] * grids_[l];
      if (map != Shape{1, map.h, map.w, channels} || map.h < 1 || map.w < 1 || other != map)
        throw Error("maps of " + map.text() + " and " + other.text() + " for a grid of " +
                    std::to_string(grids_[l]));
    }
    const Shape& first = sizes[inputs[0]];
    return {candidates(sizes, inputs.back()), first.h, first.w, 1};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    std::int64_t widest = 0;
    for (std::size_t l = 0; l < grids_.size(); ++l) widest = std::max(widest, sizes[inputs[l]].w);
    return of_thread(out.w, widest) * sizes.threads +
           scratch_bytes<float>(static_cast<double>(kTable * scales_.size())) +
           scratch_bytes<double>(kTable);
  }

  double work(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    double read = 0;  // of a map: whole rows, two for each of the output's at most
    for (std::size_t l = 0; l < grids_.size(); ++l) {
      const Shape& map = sizes[inputs[l]];
      read = std::max(read, std::min(2.0 * out.h, map.h + 1.0) * map.w);
    }
    return out.size() * 16 + out.n * (has_others_ ? 2 : 1) * read;
  }

  void run(Frame& frame) const override {
    const auto rows = candidates(frame, inputs.back());
    const conv::FloatMap& out = frame.begin_floats(output, rows.count);
    int widest = 0;
    for (std::size_t l = 0; l < grids_.size(); ++l)
      widest = std::max(widest, frame.bytes(inputs[l]).w);
    const float* const tables = tables_of(frame);
    const auto parts = frame.scratch.parts(of_thread(out.w, widest), frame.pool.threads());
    frame.pool.parallel(rows.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch part = parts.of(thread);
      Room room{tables, part.take<float>(widest), part.take<float>(out.w), part.take<float>(out.w),
                part.take<Neighbours>(out.w)};
      for (std::int64_t i = begin; i < end; ++i) {
        std::size_t level = 0;
        std::int64_t k = number_of(rows.data[i]);
        for (; level + 1 < grids_.size() && k >= places(level); ++level) k -= places(level);
        k = std::min(k, places(level) - 1);
        float* const to = out.data + i * out.image_stride;
        const std::int64_t channel = has_others_ ? k % grids_[level] : k;
        enlarge<false>(frame.bytes(inputs[level]), channel, level, room, out, to);
        if (has_others_)
          enlarge<true>(frame.bytes(inputs[other_of(level)]), k / grids_[level], other_of(level),
                        room, out, to);
      }
    });
  }

 private:
  static constexpr std::size_t kTable = 256;

  struct Room {
    const float* tables;  // of each map
    float* row;           // of a map
    float *top, *bottom;  // two of its rows, made wider
    Neighbours* columns;
  };

  std::size_t other_of(std::size_t level) const {
    return has_others_ ? grids_.size() + level : level;
  }
  std::int64_t places(std::size_t level) const { return grids_[level] * grids_[level]; }

  static double of_thread(std::int64_t width, std::int64_t widest) {
    const auto w = static_cast<double>(width);
    return scratch_bytes<float>(static_cast<double>(widest)) + 2 * scratch_bytes<float>(w) +
           scratch_bytes<Neighbours>(w);
  }

  // Of each map, the probabilities of its integers.
  const float* tables_of(Frame& frame) const {
    float* const tables = frame.scratch.take<float>(kTable * scales_.size());
    auto* const terms = frame.scratch.take<double>(kTable);
    for (std::size_t m = 0; m < scales_.size(); ++m) {
      const auto zero = static_cast<float>(frame.descriptions[inputs[m]].zero_point);
      for (std::size_t q = 0; q < kTable; ++q)
        terms[q] = static_cast<double>((static_cast<float>(q) - zero) * scales_[m]);
      sigmoid(terms, kTable, frame.loops);
      for (std::size_t q = 0; q < kTable; ++q)
        tables[m * kTable + q] = static_cast<float>(terms[q]);
    }
    return tables;
  }

  // The probabilities of one channel in the output's size; with kTimes, times what is there.
  template <bool kTimes>
  void enlarge(const conv::Map& map, std::int64_t channel, std::size_t input, const Room& room,
               const conv::FloatMap& out, float* to) const {
    const float* const table = room.tables + input * kTable;
    for (int x = 0; x < out.w; ++x) room.columns[x] = resized_neighbours(x, map.w, out.w);
    int has_top = -1, has_bottom = -1;
    Room lines = room;
    for (int y = 0; y < out.h; ++y, to += out.w) {
      const Neighbours row = resized_neighbours(y, map.h, out.h);
      if (has_bottom == row.first) std::swap(lines.top, lines.bottom), std::swap(has_top, has_bottom);
      if (has_top != row.first) wide(map, channel, table, has_top = row.first, lines, out.w, lines.top);
      if (has_bottom != row.second)
        wide(map, channel, table, has_bottom = row.second, lines, out.w, lines.bottom);
      const auto share = static_cast<float>(row.share);
      for (int x = 0; x < out.w; ++x) {
        const float value = lines.top[x] * (1 - share) + lines.bottom[x] * share;
        to[x] = kTimes ? to[x] * value : value;
      }
    }
  }

  static void wide(const conv::Map& map, std::int64_t channel, const float* table, int y,
                   const Room& room, int width, float* line) {
    const std::uint8_t* const from = map.data + y * map.row_stride + channel;
    for (int x = 0; x < map.w; ++x) room.row[x] = table[from[x * map.pixel_stride()]];
    for (int x = 0; x < width; ++x) {
      const Neighbours& column = room.columns[x];
      const auto share = static_cast<float>(column.share);
      line[x] = room.row[column.first] * (1 - share) + room.row[column.second] * share;
    }
  }

  bool has_others_;
  std::vector<float> scales_;  // of each map
  std::vector<std::int64_t> grids_;
};

const Registered<SelectedMasks> registered("SelectedMasks");

}  // namespace
}  // namespace lbw
