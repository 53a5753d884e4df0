// Class Pad: pixels around a map.
#include <algorithm>
#include <cstring>

#include "operation.h"

namespace lbw {
namespace {

class Pad : public Operation {
 public:
  explicit Pad(const Fields& fields)
      : Operation({fields.value("input", Kind::bytes)}, fields.value("output", Kind::bytes)),
        before_(fields.pair("before")),
        after_(fields.pair("after")),
        fill_(fields.integer("fill")),
        reflect_(fields.flag("reflect")) {
    expect(before_.h >= 0 && before_.w >= 0 && after_.h >= 0 && after_.w >= 0,
           "it adds fewer than no pixels");
    const int maximum = fields.description(output).maximum;
    expect(fill_ >= 0 && fill_ <= maximum && fields.description(inputs[0]).maximum <= maximum,
           "a number is above the output's maximum");
  }

  Shape shape(const Sizes& sizes) const override {
    const Shape& in = sizes[inputs[0]];
    if (reflect_ && (in.h <= std::max(before_.h, after_.h) || in.w <= std::max(before_.w, after_.w)))
      throw Error("a map of " + in.text() + " has not as many pixels as are mirrored");
    return {in.n, in.h + before_.h + after_.h, in.w + before_.w + after_.w, in.c};
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const std::size_t channels = in.c, line = out.w * channels, inner = in.w * channels;
    const std::size_t left = before_.w * channels;
    const std::int64_t rows = static_cast<std::int64_t>(in.n) * out.h;
    frame.pool.parallel(rows, 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / out.h, y = index % out.h;
        std::uint8_t* const to = out.data + image * out.image_stride + y * out.row_stride;
        const std::int64_t row = reflect_ ? mirrored(y - before_.h, in.h) : y - before_.h;
        if (row < 0 || row >= in.h) {
          std::memset(to, fill_, line);
          continue;
        }
        const std::uint8_t* const from = in.data + image * in.image_stride + row * in.row_stride;
        std::memcpy(to + left, from, inner);
        if (reflect_) {
          const auto mirror = [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t x = first; x < last; ++x)
              std::memcpy(to + x * channels, from + mirrored(x - before_.w, in.w) * channels,
                          channels);
          };
          mirror(0, before_.w);
          mirror(before_.w + in.w, out.w);
          continue;
        }
        std::memset(to, fill_, left);
        std::memset(to + left + inner, fill_, line - left - inner);
      }
    });
  }

 private:
  // The pixel of a side that is seen there.
  static std::int64_t mirrored(std::int64_t at, std::int64_t side) {
    return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at;
  }

  Pair before_, after_;
  int fill_;
  bool reflect_;
};

const Registered<Pad> registered("Pad");

}  // namespace
}  // namespace lbw
