// Class Attention: means of pixels with the weights of a softmax, of all pixels or in windows.
#include <algorithm>
#include <cstring>

#include "../arithmetic/proposals.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr float kOtherRegion = -100, kHidden = -1e30f;

// Queries, keys, values, then the numbers of those that are kept, or what is seen, if any.
std::vector<int> read(const Fields& fields) {
  std::vector<int> inputs{fields.value("query", Kind::bytes), fields.value("key", Kind::bytes),
                          fields.value("value", Kind::bytes)};
  for (const char* name : {"kept", "seen"})
    if (fields.has(name)) inputs.push_back(fields.value(name, Kind::floats));
  return inputs;
}

// Keys and values of a query: `rows` of so many pixels, `columns`, whose channels lie together.
struct Keys {
  const std::uint8_t *key, *value;
  std::ptrdiff_t key_row, value_row;
  int rows, columns;
};

// The places of a side, see class Attention: pixels with those around the map.
struct Side {
  int whole, window, shift;

  int pixel(int place) const { return (place + shift) % whole; }
  int region(int place) const {
    return shift == 0 ? 0 : (place >= whole - window) + (place >= whole - shift);
  }
};

class Attention : public Operation {
 public:
  explicit Attention(const Fields& fields)
      : Operation(read(fields), fields.value("output", Kind::bytes)),
        heads_(fields.integer("heads")),
        window_(fields.integer("window")),
        shift_(fields.integer("shift")),
        across_(fields.flag("across")),
        keeps_(fields.has("kept")),
        looks_(fields.has("seen")),
        factor_(fields.real("factor")),
        ratio_(fields.real("ratio")) {
    expect(heads_ > 0 && window_ >= 0 && shift_ >= 0, "no such heads and windows");
    expect(!across_ || window_ == 0, "windows across boxes");
    expect(inputs.size() == 3 || (window_ == 0 && !across_), "some are kept of windows or boxes");
    expect(!keeps_ || !looks_, "some are kept, and not all are seen");
    if (window_ == 0) return;
    expect(shift_ < window_, "the shift is as large as the window");
    if (fields.has("bias"))
      bias_ = fields.floats("bias", static_cast<std::size_t>(heads_) * table() * table());
    for (std::uint8_t q : fields.bytes("padding_key")) key_padding_.push_back(q);
    for (std::uint8_t q : fields.bytes("padding_value")) value_padding_.push_back(q);
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape &query = sizes[inputs[0]], &key = sizes[inputs[1]], &value = sizes[inputs[2]];
    const bool fits = query.n == key.n && query.c == key.c && query.c % heads_ == 0 &&
                      value.c % heads_ == 0 && value == Shape{key.n, key.h, key.w, value.c} &&
                      key.h >= 1 && key.w >= 1 && query.c / heads_ <= 1 << 14;
    const bool in_windows = window_ == 0 || (query == key && size(key_padding_) == key.c &&
                                             size(value_padding_) == value.c);
    const bool of_boxes = !across_ || (query.h == 1 && query.w == 1 && key.h == 1 && key.w == 1);
    if (!fits || !in_windows || !of_boxes)
      throw Error("attention of " + query.text() + " to " + key.text() + " and " + value.text());
    if (keeps_ && (sizes[inputs[3]] != Shape{1, 1, sizes[inputs[3]].w, 1} || query.n != 1 ||
                   query.h != key.h || query.w != key.w))
      throw Error("numbers of " + sizes[inputs[3]].text() + " for " + query.text());
    if (looks_ && (sizes[inputs[3]] != Shape{1, key.h, key.w, query.h * query.w} || query.n != 1))
      throw Error("a view of " + sizes[inputs[3]].text() + " for " + query.text());
    return {query.n, query.h, query.w, value.c};
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& query = sizes[inputs[0]];
    const double marks = keeps_ ? 1.0 * static_cast<double>(query.h * query.w) : 0;
    return scratch_bytes<std::uint8_t>(marks) + of_thread(sizes[inputs[1]], sizes[inputs[2]].c) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const Shape &query = sizes[inputs[0]], &value = sizes[inputs[2]];
    const double keys = keys_of(sizes[inputs[1]]);  // a power is some fifty operations
    return 1.0 * query.n * query.h * query.w * keys * (query.c + value.c + 50.0 * heads_);
  }

  void run(Frame& frame) const override {
    const conv::Map &query = frame.bytes(inputs[0]), &key = frame.bytes(inputs[1]);
    const conv::Map& value = frame.bytes(inputs[2]);
    expect(query.n == key.n && key.n == value.n, "queries, keys and values differ in number");
    const conv::Map& out = frame.begin_bytes(output, query.n);
    const std::int64_t queries = static_cast<std::int64_t>(query.h) * query.w;
    auto* const kept = frame.scratch.take<std::uint8_t>(keeps_ ? queries : 0);
    if (keeps_) mark_named(frame.floats(inputs[3]), queries, kept);
    const auto parts = frame.scratch.parts(
        of_thread({key.n, key.h, key.w, key.c}, value.c), frame.pool.threads());
    if (window_ == 0) {
      const std::int64_t pixels = static_cast<std::int64_t>(query.n) * query.h * query.w;
      frame.pool.parallel(pixels, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
        Task task(*this, frame, parts.of(thread), key, value);
        for (std::int64_t index = begin; index < end; ++index)
          whole(task, query, key, value, out, kept, index);
      });
      return;
    }
    const std::int64_t down = (key.h + window_ - 1) / window_;
    const std::int64_t across = (key.w + window_ - 1) / window_;
    frame.pool.parallel(key.n * down * across, 1,
                        [&](std::int64_t begin, std::int64_t end, int thread) {
                          Task task(*this, frame, parts.of(thread), key, value);
                          for (std::int64_t index = begin; index < end; ++index)
                            window(task, query, key, value, out, index, down, across);
                        });
  }

 private:
  // What a thread needs for a query.
  struct Task {
    Task(const Attention& of, Frame& frame, Scratch part, const conv::Map& key,
         const conv::Map& value)
        : frame(frame),
          depth(key.c / of.heads_),
          value_depth(value.c / of.heads_),
          value_channels(value.c),
          key_channels(key.c),
          query(part.take<std::int16_t>(depth)),
          dots(part.take<std::int32_t>(of.keys_of(key))),
          powers(part.take<double>(of.keys_of(key))),
          weights(part.take<float>(of.keys_of(key))),
          sums(part.take<float>(value_channels)),
          hidden(part.take<std::uint8_t>(of.looks_ ? of.keys_of(key) : 0)) {
      if (of.window_ == 0) return;
      keys = part.take<std::uint8_t>(of.keys_of(key) * key.c);
      values = part.take<std::uint8_t>(of.keys_of(key) * value.c);
    }

    Frame& frame;
    std::size_t depth, value_depth, value_channels, key_channels;
    std::int16_t* query;
    std::int32_t* dots;
    double* powers;
    float *weights, *sums;
    std::uint8_t* hidden;  // of each key, whether the query does not see it
    std::uint8_t *keys = nullptr, *values = nullptr;  // of a window
  };

  static std::int64_t size(const std::vector<std::uint8_t>& bytes) {
    return static_cast<std::int64_t>(bytes.size());
  }

  int table() const { return 2 * window_ - 1; }

  // How many keys a query has; a Shape or a Map.
  template <class T>
  std::size_t keys_of(const T& map) const {
    if (across_) return static_cast<std::size_t>(map.n);
    return window_ ? static_cast<std::size_t>(window_) * window_
                   : static_cast<std::size_t>(map.h) * map.w;
  }

  double of_thread(const Shape& key, std::int64_t value_channels) const {
    const double keys = static_cast<double>(keys_of(key));
    const double gathered =
        window_ ? scratch_bytes<std::uint8_t>(keys * static_cast<double>(key.c)) +
                      scratch_bytes<std::uint8_t>(keys * static_cast<double>(value_channels))
                : 0;
    return scratch_bytes<std::int16_t>(static_cast<double>(key.c / heads_)) +
           scratch_bytes<std::int32_t>(keys) + scratch_bytes<double>(keys) +
           scratch_bytes<float>(keys) + scratch_bytes<float>(static_cast<double>(value_channels)) +
           (looks_ ? scratch_bytes<std::uint8_t>(keys) : 0) + gathered;
  }

  void whole(Task& task, const conv::Map& query, const conv::Map& key, const conv::Map& value,
             const conv::Map& out, const std::uint8_t* kept, std::int64_t index) const {
    const std::int64_t x = index % query.w, y = index / query.w % query.h;
    const std::int64_t image = index / query.w / query.h;
    const Keys keys =
        across_ ? Keys{key.data, value.data, key.image_stride, value.image_stride, key.n, 1}
                : Keys{key.data + image * key.image_stride,
                       value.data + image * value.image_stride,
                       key.row_stride,
                       value.row_stride,
                       key.h,
                       key.w};
    if (looks_) look(task, index);
    attend(task, query.data + image * query.image_stride + y * query.row_stride + x * query.c,
           keys, out.data + image * out.image_stride + y * out.row_stride + x * out.c,
           [&](int, float logit, std::size_t of_key) {
             const bool hidden =
                 looks_ ? task.hidden[of_key] : keeps_ && !kept[index] && !kept[of_key];
             return hidden ? logit + kHidden : logit;
           });
  }

  // What a query does not see; of one that sees nothing, nothing is hidden.
  void look(Task& task, std::int64_t query) const {
    const conv::FloatMap& seen = task.frame.floats(inputs[3]);
    const std::ptrdiff_t keys = static_cast<std::ptrdiff_t>(seen.h) * seen.w;
    std::ptrdiff_t count = 0;
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      task.hidden[j] = seen.data[j * seen.c + query] < 0;
      count += task.hidden[j];
    }
    if (count == keys) std::fill_n(task.hidden, keys, std::uint8_t{0});
  }

  void window(Task& task, const conv::Map& query, const conv::Map& key, const conv::Map& value,
              const conv::Map& out, std::int64_t index, std::int64_t down,
              std::int64_t across) const {
    const Side of_y{static_cast<int>(down) * window_, window_, shift_};
    const Side of_x{static_cast<int>(across) * window_, window_, shift_};
    const std::int64_t image = index / (down * across);
    const int first_y = static_cast<int>(index / across % down) * window_;
    const int first_x = static_cast<int>(index % across) * window_;
    std::uint8_t *to_key = task.keys, *to_value = task.values;
    for (int i = 0; i < window_; ++i)
      for (int j = 0; j < window_; ++j, to_key += key.c, to_value += value.c) {
        const int y = of_y.pixel(first_y + i), x = of_x.pixel(first_x + j);
        const bool inside = y < key.h && x < key.w;
        std::memcpy(to_key, inside ? at(key, image, y, x) : key_padding_.data(), key.c);
        std::memcpy(to_value, inside ? at(value, image, y, x) : value_padding_.data(), value.c);
      }
    const Keys keys = {task.keys, task.values, 0, 0, 1, window_ * window_};
    for (int i = 0; i < window_; ++i)
      for (int j = 0; j < window_; ++j) {
        const int y = of_y.pixel(first_y + i), x = of_x.pixel(first_x + j);
        if (y >= query.h || x >= query.w) continue;
        const int region_y = of_y.region(first_y + i), region_x = of_x.region(first_x + j);
        attend(task, at(query, image, y, x), keys, at(out, image, y, x),
               [&](int head, float logit, std::size_t of_key) {
                 const int key_i = static_cast<int>(of_key) / window_;
                 const int key_j = static_cast<int>(of_key) % window_;
                 if (!bias_.empty())
                   logit += bias_[(static_cast<std::size_t>(head) * table() + i - key_i + window_ -
                                   1) * table() + j - key_j + window_ - 1];
                 const bool same = of_y.region(first_y + key_i) == region_y &&
                                   of_x.region(first_x + key_j) == region_x;
                 return shift_ == 0 ? logit : logit + (same ? 0.0f : kOtherRegion);
               });
      }
  }

  static std::uint8_t* at(const conv::Map& map, std::int64_t image, std::int64_t y,
                          std::int64_t x) {
    return map.data + image * map.image_stride + y * map.row_stride + x * map.c;
  }

  // One query. `place(head, logit, key)` gives the logit with all that depends on the places.
  template <class Place>
  void attend(Task& task, const std::uint8_t* query, const Keys& keys, std::uint8_t* out,
              Place place) const {
    const Frame& frame = task.frame;
    const int zero_query = frame.descriptions[inputs[0]].zero_point;
    const int zero_key = frame.descriptions[inputs[1]].zero_point;
    const auto zero_value = static_cast<float>(frame.descriptions[inputs[2]].zero_point);
    const std::size_t count = static_cast<std::size_t>(keys.rows) * keys.columns;
    std::fill_n(task.sums, task.value_channels, 0.0f);
    for (int head = 0; head < heads_; ++head) {
      const std::size_t first = head * task.depth, first_value = head * task.value_depth;
      std::int32_t total = 0;
      for (std::size_t c = 0; c < task.depth; ++c) {
        task.query[c] = static_cast<std::int16_t>(query[first + c] - zero_query);
        total += task.query[c];
      }
      for (int row = 0; row < keys.rows; ++row)
        frame.loops.dots(task.query, keys.key + row * keys.key_row + first,
                         static_cast<std::ptrdiff_t>(task.key_channels), keys.columns, task.depth,
                         task.dots + static_cast<std::size_t>(row) * keys.columns);
      float largest = 0;
      for (std::size_t j = 0; j < count; ++j) {
        const float product = static_cast<float>(task.dots[j] - zero_key * total) * factor_;
        task.weights[j] = place(head, product, j);
        if (j == 0 || task.weights[j] > largest) largest = task.weights[j];
      }
      for (std::size_t j = 0; j < count; ++j)
        task.powers[j] = std::max(
            static_cast<double>(task.weights[j]) - static_cast<double>(largest), -700.0);
      frame.loops.exponentials(task.powers, count);
      double sum = 0;
      for (std::size_t j = 0; j < count; ++j) sum += task.powers[j];
      for (std::size_t j = 0; j < count; ++j)
        task.weights[j] = static_cast<float>(task.powers[j] / sum);
      for (int row = 0; row < keys.rows; ++row)
        frame.loops.add_weighted(keys.value + row * keys.value_row + first_value,
                                 static_cast<std::ptrdiff_t>(task.value_channels), zero_value,
                                 task.weights + static_cast<std::size_t>(row) * keys.columns,
                                 keys.columns, task.value_depth, task.sums + first_value);
    }
    for (std::size_t c = 0; c < task.value_channels; ++c) task.sums[c] *= ratio_;
    frame.loops.round(task.sums, frame.rounding(output), task.value_channels, out);
  }

  int heads_, window_, shift_;
  bool across_, keeps_, looks_;
  float factor_, ratio_;
  std::vector<float> bias_;  // [heads][down][across]
  std::vector<std::uint8_t> key_padding_, value_padding_;
};

const Registered<Attention> registered("Attention");

}  // namespace
}  // namespace lbw
