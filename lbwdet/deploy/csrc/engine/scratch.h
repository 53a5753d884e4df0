// Memory that an operation needs while it runs, planned before it does.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "error.h"

namespace lbw {

// Bytes of an array in scratch memory. In floating point, which no sizes overflow.
template <class T>
double scratch_bytes(double count) {
  constexpr double kAlignment = 64;
  return std::ceil(count * sizeof(T) / kAlignment) * kAlignment;
}

// Hands out arrays, aligned to 64 bytes, with any content.
class Scratch {
 public:
  Scratch(std::uint8_t* begin, std::size_t bytes) : next_(begin), left_(bytes) {}

  template <class T>
  T* take(std::size_t count) {
    return reinterpret_cast<T*>(take_bytes(scratch_bytes<T>(static_cast<double>(count))));
  }

  // Takes memory of `bytes`, a sum of scratch_bytes(), for each of some threads; that of one.
  class Parts {
   public:
    Parts(std::uint8_t* begin, std::size_t bytes) : begin_(begin), bytes_(bytes) {}
    Scratch of(int thread) const { return {begin_ + thread * bytes_, bytes_}; }

   private:
    std::uint8_t* begin_;
    std::size_t bytes_;
  };
  Parts parts(double bytes, int threads) {
    return {take_bytes(bytes * threads), static_cast<std::size_t>(bytes)};
  }

 private:
  std::uint8_t* take_bytes(double bytes) {
    if (bytes > static_cast<double>(left_)) throw Error("scratch memory was not planned");
    std::uint8_t* const begin = next_;
    next_ += static_cast<std::size_t>(bytes);
    left_ -= static_cast<std::size_t>(bytes);
    return begin;
  }

  std::uint8_t* next_;
  std::size_t left_;
};

}  // namespace lbw
