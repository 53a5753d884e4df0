// Which products a kernel may add in int16, whatever the input is. Internal.
#pragma once

#include <cstdint>
#include <vector>

namespace lbw::conv {

// The quads of one block of channels. Each lane has two sums: of the first two and of the last two
// products of its quads.
class QuadReach {
 public:
  // weight: [quad][lanes][4].
  QuadReach(const int8_t* weight, int quads, int lanes);

  // Lengths of the stretches of quads that can be summed in int16, in all lanes; a stretch ends with
  // its run. `most`: how much the positive weights of a sum, or the negative ones, may be together;
  // at least 128, which is what a quad has at most.
  std::vector<uint16_t> stretches(int runs, int most) const;

  // Orders the quads so that the first ones, two by two, have sums that fit; returns the number of
  // pairs.
  int pair(int most, int32_t* order) const;

 private:
  const uint8_t* of(int quad) const { return reach_.data() + quad * sums_; }

  int quads_;
  std::size_t sums_;
  std::vector<uint8_t> reach_;  // [quad][sum of a lane], upwards and downwards in turn
};

}  // namespace lbw::conv
