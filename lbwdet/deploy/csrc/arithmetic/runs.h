// Runs of an image's pixels outside and inside of a mask, in turn, column after column.
#pragma once

#include <cstdint>
#include <vector>

namespace lbw {

// Collects runs, given where the mask begins and ends.
class Runs {
 public:
  void change(std::int64_t position, bool inside) {
    if (inside == inside_) return;
    lengths.push_back(static_cast<std::uint32_t>(position - begin_));
    begin_ = position, inside_ = inside;
  }
  void end(std::int64_t position) {
    lengths.push_back(static_cast<std::uint32_t>(position - begin_));
  }

  std::vector<std::uint32_t> lengths;

 private:
  std::int64_t begin_ = 0;
  bool inside_ = false;
};

}  // namespace lbw
