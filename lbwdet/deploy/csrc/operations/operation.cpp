#include "operation.h"

#include <cstring>
#include <map>

namespace lbw {
namespace {

// A function's own object: it is there before the first static object that registers itself.
std::map<std::string, Maker>& registry() {
  static std::map<std::string, Maker> all;
  return all;
}

}  // namespace

RegisteredMaker::RegisteredMaker(const char* name, Maker maker) { registry()[name] = maker; }

std::unique_ptr<Operation> make(const std::string& name, const Fields& fields) {
  const auto found = registry().find(name);
  if (found == registry().end()) throw Error("this build has no operation " + name);
  return found->second(fields);
}

std::string Shape::text() const {
  return std::to_string(n) + " x " + std::to_string(h) + " x " + std::to_string(w) + " x " +
         std::to_string(c);
}

Rounding Frame::rounding(int value, bool relu) const {
  const Value& to = descriptions[value];
  return {to.zero_point, relu ? to.zero_point : 0, to.maximum, to.ceil};
}

const conv::Map& Frame::begin_bytes(int value, int n) {
  conv::Map& map = values[value].bytes;
  map.n = n;
  if (map.border == 0) return map;
  const int zero_point = descriptions[value].zero_point;
  const std::ptrdiff_t side = map.border * map.pixel_stride();
  const int line = map.w + 2 * map.border;
  const auto fill = [&](std::uint8_t* begin, int pixels) {
    if (map.pixel_stride() == map.c) {
      std::memset(begin, zero_point, static_cast<std::size_t>(pixels) * map.c);
    } else {  // between are other values' channels
      for (int i = 0; i < pixels; ++i, begin += map.pixel) std::memset(begin, zero_point, map.c);
    }
  };
  for (int image = 0; image < n; ++image) {
    std::uint8_t* const first = map.data + image * map.image_stride - side;
    for (int row = -map.border; row < map.h + map.border; ++row) {
      std::uint8_t* const begin = first + row * map.row_stride;
      if (row < 0 || row >= map.h) {
        fill(begin, line);
      } else {
        fill(begin, map.border);
        fill(begin + side + map.w * map.pixel_stride(), map.border);
      }
    }
  }
  return map;
}

const conv::FloatMap& Frame::begin_floats(int value, int n) {
  values[value].floats.n = n;
  return values[value].floats;
}

}  // namespace lbw
