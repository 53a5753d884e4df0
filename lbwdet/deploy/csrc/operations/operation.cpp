#include "operation.h"

#include <cstring>

namespace lbw {

conv::Map& Frame::begin_bytes(int value, int n) {
  conv::Map& map = values[value].bytes;
  map.n = n;
  if (map.border == 0) return map;
  const int zero_point = descriptions[value].zero_point;
  const std::ptrdiff_t side = static_cast<std::ptrdiff_t>(map.border) * map.c;
  const std::size_t line = map.row_stride;
  for (int image = 0; image < n; ++image) {
    std::uint8_t* const first = map.data + image * map.image_stride - side;
    for (int row = -map.border; row < map.h + map.border; ++row) {
      std::uint8_t* const begin = first + row * map.row_stride;
      if (row < 0 || row >= map.h) {
        std::memset(begin, zero_point, line);
      } else {
        std::memset(begin, zero_point, side);
        std::memset(begin + line - side, zero_point, side);
      }
    }
  }
  return map;
}

conv::FloatMap& Frame::begin_floats(int value, int n) {
  values[value].floats.n = n;
  return values[value].floats;
}

}  // namespace lbw
