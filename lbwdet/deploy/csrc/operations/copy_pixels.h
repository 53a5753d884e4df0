// Copies of some channels of many pixels: what joins, cuts and rearranges maps does, and no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lbw {

// Pixels are so many bytes apart, where they come from and where they go to.
struct PixelSteps {
  std::ptrdiff_t from, to;
};

template <int channels>
inline void copy_pixels_of(const std::uint8_t* from, std::uint8_t* to, PixelSteps steps,
                           std::ptrdiff_t count) {
  for (; count > 0; --count, from += steps.from, to += steps.to) std::memcpy(to, from, channels);
}

// `channels` bytes of each of `count` pixels. A call of memcpy takes longer than a few bytes do.
inline void copy_pixels(const std::uint8_t* from, std::uint8_t* to, PixelSteps steps, int channels,
                        std::ptrdiff_t count) {
  if (steps.from == channels && steps.to == channels) {  // one piece
    std::memcpy(to, from, static_cast<std::size_t>(channels * count));
    return;
  }
  switch (channels) {
    case 1: return copy_pixels_of<1>(from, to, steps, count);
    case 3: return copy_pixels_of<3>(from, to, steps, count);
    case 8: return copy_pixels_of<8>(from, to, steps, count);
    case 16: return copy_pixels_of<16>(from, to, steps, count);
    case 24: return copy_pixels_of<24>(from, to, steps, count);
    case 32: return copy_pixels_of<32>(from, to, steps, count);
    case 48: return copy_pixels_of<48>(from, to, steps, count);
    case 64: return copy_pixels_of<64>(from, to, steps, count);
    default:
      for (; count > 0; --count, from += steps.from, to += steps.to)
        std::memcpy(to, from, static_cast<std::size_t>(channels));
  }
}

}  // namespace lbw
