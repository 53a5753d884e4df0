#include "preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lbw {
namespace {

// Where target index i reads along one axis: two pixels, and the weight of the second.
ResizeTap tap(int i, int source, int target) {
  const auto f =
      static_cast<float>((i + 0.5) * (static_cast<double>(source) / target) - 0.5);
  const float j = std::floor(f);
  const int first = static_cast<int>(j);
  return {std::clamp(first, 0, source - 1), std::clamp(first + 1, 0, source - 1),
          static_cast<int>(std::nearbyint((f - j) * 2048.0f))};
}

// Rows of an image, resized along the width; the last two are kept, since neighbouring rows of
// the output share them.
class Rows {
 public:
  Rows(const Image& image, const std::vector<ResizeTap>& columns, const Loops& loops)
      : image_(image), columns_(columns), loops_(loops) {}

  const std::int16_t* get(int row) {
    if (rows_[1] == row) {
      std::swap(rows_[0], rows_[1]);
      std::swap(buffers_[0], buffers_[1]);
    }
    if (rows_[0] != row) {
      std::swap(rows_[0], rows_[1]);
      std::swap(buffers_[0], buffers_[1]);
      buffers_[0].resize(3 * columns_.size());
      loops_.resize_row(image_.data + 3 * static_cast<std::size_t>(row) * image_.size.width,
                        columns_.data(), columns_.size(), buffers_[0].data());
      rows_[0] = row;
    }
    return buffers_[0].data();
  }

 private:
  const Image& image_;
  const std::vector<ResizeTap>& columns_;
  const Loops& loops_;
  int rows_[2] = {-1, -1};  // latest first
  std::vector<std::int16_t> buffers_[2];
};

}  // namespace

Size Preprocess::resized(Size image) const {
  if (!settings_.keep_ratio) return {settings_.height, settings_.width};
  const double longer = std::max(settings_.width, settings_.height);
  const double shorter = std::min(settings_.width, settings_.height);
  const double factor = std::min(longer / std::max(image.height, image.width),
                                 shorter / std::min(image.height, image.width));
  return {std::max(static_cast<int>(image.height * factor + 0.5), 1),
          std::max(static_cast<int>(image.width * factor + 0.5), 1)};
}

Shape Preprocess::shape(const std::vector<Shape>&, Size image) const {
  const Size size = resized(image);
  const int divisor = settings_.size_divisor;
  return {1, (size.height + divisor - 1) / divisor * divisor,
          (size.width + divisor - 1) / divisor * divisor, 3};
}

void Preprocess::run(Frame& frame) const {
  const Image& image = frame.image;
  const Size size = frame.resized;
  const conv::Map& out = frame.begin_bytes(output, 1);
  const int zero_point = frame.descriptions[output].zero_point;
  const bool resize = size.height != image.size.height || size.width != image.size.width;
  std::vector<ResizeTap> columns(resize ? size.width : 0);
  for (int x = 0; x < static_cast<int>(columns.size()); ++x) {
    columns[x] = tap(x, image.size.width, size.width);
    columns[x].first *= 3, columns[x].second *= 3;
  }
  const std::size_t line = 3 * static_cast<std::size_t>(size.width);

  frame.pool.parallel(out.h, 16, [&](std::int64_t begin, std::int64_t end, int) {
    Rows rows(image, columns, frame.loops);
    std::vector<std::uint8_t> resized(resize ? line : 0);
    for (int y = static_cast<int>(begin); y < end; ++y) {
      std::uint8_t* const target = out.data + y * out.row_stride;
      const std::size_t used = y < size.height ? line : 0;
      if (used > 0) {
        const std::uint8_t* pixels = image.data + y * line;
        if (resize) {
          const ResizeTap at = tap(y, image.size.height, size.height);
          const std::int16_t* const above = rows.get(at.first);
          frame.loops.blend(above, rows.get(at.second), at.weight, line, resized.data());
          pixels = resized.data();
        }
        quantize(pixels, line, target);
      }
      std::memset(target + used, zero_point, 3 * static_cast<std::size_t>(out.w) - used);
    }
  });
}

void Preprocess::quantize(const std::uint8_t* pixels, std::size_t count,
                          std::uint8_t* out) const {
  const int first = settings_.to_rgb ? 2 : 0;
  const std::uint8_t* const table = settings_.table.data();
  for (std::size_t i = 0; i < count; i += 3) {
    out[i] = table[pixels[i + first]];
    out[i + 1] = table[256 + pixels[i + 1]];
    out[i + 2] = table[512 + pixels[i + 2 - first]];
  }
}

}  // namespace lbw
