#include "loops.h"

namespace lbw {
namespace portable {
namespace {

using Floats = float __attribute__((vector_size(16)));

inline Floats widen(const std::uint8_t* bytes, Floats) {
  return Floats{static_cast<float>(bytes[0]), static_cast<float>(bytes[1]),
                static_cast<float>(bytes[2]), static_cast<float>(bytes[3])};
}

inline void narrow(Floats values, std::uint8_t* out) {
  for (int lane = 0; lane < 4; ++lane) out[lane] = static_cast<std::uint8_t>(values[lane]);
}

#include "loops.inc"

}  // namespace
}  // namespace portable

const Loops kPortableLoops = {portable::exponentials, portable::resize_row, portable::blend, portable::maximum,
                          portable::look_up, portable::mark_overlaps, portable::roi_align};

}  // namespace lbw
