// Class Preprocess: resize, normalize, quantize, pad.
#include <algorithm>
#include <array>
#include <cmath>

#include "../arithmetic/resample.h"
#include "operation.h"

namespace lbw {
namespace {

// Where target index i reads along one axis: two pixels, and the weight of the second, of 2048.
struct Tap {
  int first, second, weight;
};

Tap tap(int i, int source, int target) {
  const auto f =
      static_cast<float>((i + 0.5) * (static_cast<double>(source) / target) - 0.5);
  const float j = std::floor(f);
  const int first = static_cast<int>(j);
  return {std::clamp(first, 0, source - 1), std::clamp(first + 1, 0, source - 1),
          static_cast<int>(std::nearbyint((f - j) * 2048.0f))};
}

// The columns of rows that are resized from one width to another.
ResizeColumns resize_columns(int source, int target, Scratch& memory) {
  const auto count = static_cast<std::size_t>(target);
  auto* const first = memory.take<std::int32_t>(count);
  auto* const second = memory.take<std::int32_t>(count);
  auto* const shares = memory.take<std::int16_t>(3 * count);
  for (int x = 0; x < target; ++x) {
    Tap column = tap(x, source, target);
    if (column.weight > 1024) {  // the same sum
      std::swap(column.first, column.second);
      column.weight = 2048 - column.weight;
    }
    first[x] = 3 * column.first, second[x] = 3 * column.second;
    std::fill_n(shares + 3 * x, 3, static_cast<std::int16_t>(-32 * column.weight));
  }
  return {first, second, shares, count};
}

double columns_scratch(double count) {
  return 2 * scratch_bytes<std::int32_t>(count) + scratch_bytes<std::int16_t>(3 * count);
}

// Rows of an image, resized along the width; the last two are kept, since neighbouring rows of
// the output share them.
class Rows {
 public:
  Rows(const Image& image, const ResizeColumns& columns, const Loops& loops, Scratch& memory)
      : image_(image),
        columns_(columns),
        loops_(loops),
        buffers_{memory.take<std::int16_t>(3 * columns.count),
                 memory.take<std::int16_t>(3 * columns.count)} {}

  static double scratch(double count) { return 2 * scratch_bytes<std::int16_t>(3 * count); }

  const std::int16_t* get(int row) {
    if (rows_[0] != row) {
      std::swap(rows_[0], rows_[1]);
      std::swap(buffers_[0], buffers_[1]);
    }
    if (rows_[0] != row) {
      const std::size_t line = 3 * static_cast<std::size_t>(image_.size.width);
      loops_.resize_row(image_.data + row * line, line, columns_, buffers_[0]);
      rows_[0] = row;
    }
    return buffers_[0];
  }

 private:
  const Image& image_;
  const ResizeColumns& columns_;
  const Loops& loops_;
  int rows_[2] = {-1, -1};  // latest first
  std::int16_t* buffers_[2];
};

class Preprocess : public Operation {
 public:
  explicit Preprocess(const Fields& fields)
      : Operation({}, fields.value("output", Kind::bytes)),
        keep_ratio_(fields.flag("keep_ratio")),
        to_rgb_(fields.flag("to_rgb")),
        pad_to_square_(fields.flag("pad_to_square")),
        antialias_(fields.flag("antialias")),
        divisor_(fields.integer("size_divisor")),
        pad_divisor_(fields.integer("pad_divisor")),
        least_(divisor_ * fields.integer("least_multiple")) {
    const auto size = fields.integers("size");  // width, height
    expect(size.size == 2 && size.data[0] > 0 && size.data[1] > 0, "size must be positive");
    size_ = {size.data[1], size.data[0]};
    expect(divisor_ > 0, "size_divisor must be positive");
    expect(pad_divisor_ > 0 && least_ > 0, "pad_divisor and least_multiple must be positive");
    const auto pad = fields.integers("pad_size");
    expect(pad.size == 2, "pad_size is width, height");
    pad_size_ = {pad.data[1], pad.data[0]};
    const int maximum = fields.description(output).maximum;
    const auto copy = [&](const char* name, auto& to) {
      const auto from = fields.bytes(name, to.size());
      std::copy(from.begin(), from.end(), to.begin());
      // Convolutions rely on it.
      expect(*std::max_element(to.begin(), to.end()) <= maximum,
             "a number is above the output's maximum");
    };
    copy("table", table_);
    as_they_are_ = !to_rgb_;
    for (std::size_t i = 0; i < table_.size(); ++i)
      as_they_are_ = as_they_are_ && table_[i] == i % 256;
    copy("fill", fill_);
  }

  Shape shape(const Sizes& sizes) const override {
    const Size size = padded(resized(sizes.image));
    return {1, multiple(std::max<std::int64_t>(size.height, least_), divisor_),
            multiple(std::max<std::int64_t>(size.width, least_), divisor_), 3};
  }

  double scratch(const Sizes& sizes) const override {
    const Size size = resized(sizes.image);
    const double width = size.width;
    return (antialias_ ? resampling(sizes.image, size) : 0) + columns_scratch(width) +
           of_thread(width) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    // Rows are resized along the width once or twice per row of the output.
    const Size size = resized(sizes.image);
    const double source = 6.0 * sizes.image.height * (sizes.image.width + 2.0 * size.width);
    return 4 * sizes[output].size() + (antialias_ ? 2 * source : 0);
  }

  void run(Frame& frame) const override {
    const Size size = frame.resized = resized(frame.image.size);
    const Image image = antialias_ ? resampled(frame, size) : frame.image;
    const conv::Map& out = frame.begin_bytes(output, 1);
    const Size bounds = frame.bounds = padded(size);
    const bool resize = size.height != image.size.height || size.width != image.size.width;
    const std::size_t width = size.width, line = 3 * width;
    ResizeColumns columns{nullptr, nullptr, nullptr, width};
    if (resize) columns = resize_columns(image.size.width, size.width, frame.scratch);
    const auto scratch =
        frame.scratch.parts(of_thread(static_cast<double>(width)), frame.pool.threads());
    frame.pool.parallel(out.h, 16, [&](std::int64_t begin, std::int64_t end, int thread) {
      Scratch memory = scratch.of(thread);
      Rows rows(image, columns, frame.loops, memory);
      auto* const blended = memory.take<std::uint8_t>(line);
      for (int y = static_cast<int>(begin); y < end; ++y) {
        std::uint8_t* const target = out.data + y * out.row_stride;
        std::uint8_t* at = target;
        if (y < size.height) {
          const std::uint8_t* pixels = image.data + y * line;
          if (resize) {
            const Tap row = tap(y, image.size.height, size.height);
            const std::int16_t* const above = rows.get(row.first);
            frame.loops.blend(above, rows.get(row.second), row.weight, line, blended);
            pixels = blended;
          }
          quantize(pixels, line, target);
          at += line;
        }
        if (y < bounds.height) at = fill(at, target + 3 * std::int64_t{bounds.width}, fill_.data());
        fill(at, target + 3 * out.w, fill_.data() + 3);
      }
    });
  }

 private:
  Size resized(Size image) const {
    if (!keep_ratio_) return size_;
    const double longer = std::max(size_.width, size_.height);
    const double shorter = std::min(size_.width, size_.height);
    const double factor = std::min(longer / std::max(image.height, image.width),
                                   shorter / std::min(image.height, image.width));
    return {std::max(static_cast<int>(image.height * factor + 0.5), 1),
            std::max(static_cast<int>(image.width * factor + 0.5), 1)};
  }

  Size padded(Size size) const {  // with pixels
    if (pad_to_square_) size.height = size.width = std::max(size.height, size.width);
    const auto side = [&](int least, int given) {
      return static_cast<int>(multiple(std::max(least, given), pad_divisor_));
    };
    return {side(pad_size_.height, size.height), side(pad_size_.width, size.width)};
  }

  // Bytes that `resampled` needs.
  static double resampling(Size from, Size to) {
    return Resampling::scratch(from.width, to.width) + Resampling::scratch(from.height, to.height) +
           scratch_bytes<std::uint8_t>(3.0 * from.height * to.width) +
           scratch_bytes<std::uint8_t>(3.0 * to.height * to.width);
  }

  // The image in another size, first along the width.
  static Image resampled(Frame& frame, Size to) {
    const Size from = frame.image.size;
    const std::int64_t line = 3 * std::int64_t{to.width};
    const std::uint8_t* pixels = frame.image.data;
    if (from.width != to.width) {
      const Resampling across(from.width, to.width, frame.scratch);
      auto* const out = frame.scratch.take<std::uint8_t>(from.height * line);
      frame.pool.parallel(from.height, 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t y = begin; y < end; ++y)
          for (std::int64_t i = 0; i < line; ++i)
            out[y * line + i] = across.pixel(static_cast<int>(i / 3),
                                             pixels + 3 * y * from.width + i % 3, 3);
      });
      pixels = out;
    }
    if (from.height != to.height) {
      const Resampling down(from.height, to.height, frame.scratch);
      auto* const out = frame.scratch.take<std::uint8_t>(to.height * line);
      frame.pool.parallel(to.height, 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t y = begin; y < end; ++y)
          for (std::int64_t i = 0; i < line; ++i)
            out[y * line + i] = down.pixel(static_cast<int>(y), pixels + i, line);
      });
      pixels = out;
    }
    return {pixels, to};
  }

  static std::int64_t multiple(std::int64_t side, std::int64_t divisor) {
    return (side + divisor - 1) / divisor * divisor;
  }

  // One pixel, then twice as many with each copy.
  static std::uint8_t* fill(std::uint8_t* at, std::uint8_t* end, const std::uint8_t* pixel) {
    if (at >= end) return at;
    std::copy_n(pixel, 3, at);
    for (std::ptrdiff_t done = 3; done < end - at; done *= 2)
      std::copy_n(at, std::min(done, end - at - done), at + done);
    return end;
  }

  static double of_thread(double width) {
    return Rows::scratch(width) + scratch_bytes<std::uint8_t>(3 * width);
  }

  // Pixels by the table, channels reversed if the settings say so.
  void quantize(const std::uint8_t* pixels, std::size_t count, std::uint8_t* out) const {
    if (as_they_are_) {
      std::copy_n(pixels, count, out);
      return;
    }
    const int first = to_rgb_ ? 2 : 0;
    const std::uint8_t* const table = table_.data();
    for (std::size_t i = 0; i < count; i += 3) {
      out[i] = table[pixels[i + first]];
      out[i + 1] = table[256 + pixels[i + 1]];
      out[i + 2] = table[512 + pixels[i + 2 - first]];
    }
  }

  Size size_{};  // of the resized image, or the box it has to fit with keep_ratio
  Size pad_size_{};
  bool keep_ratio_, to_rgb_, pad_to_square_, antialias_;
  std::int64_t divisor_, pad_divisor_, least_;
  bool as_they_are_;  // pixels, in the output
  std::array<std::uint8_t, 3 * 256> table_;  // of channel, pixel: channels in output order
  std::array<std::uint8_t, 2 * 3> fill_;     // a pixel of the first padding, of the second
};

const Registered<Preprocess> registered("Preprocess");

}  // namespace
}  // namespace lbw
