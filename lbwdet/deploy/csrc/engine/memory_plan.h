// Where every value lies in memory, for one size of image, and what the image takes.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "../operations/operation.h"

namespace lbw {

constexpr std::int64_t kMostMemory = std::int64_t{1} << 46;  // no limit is above

// A value's place in the arena: border and slack included.
struct Slot {
  Shape shape{};
  int border = 0;
  int first = -1, last = -1;  // operations that write it, and read it last
  std::uint64_t bytes = 0, offset = 0;  // of 64 bits on every machine, before they are checked
  int within = -1;            // the value whose map holds it, if one does and none holds that,
  std::int64_t channel = 0;   // from this channel on

  Tensor tensor(const Value& value, std::uint8_t* arena) const;
};

struct MemoryPlan {
  Size image;
  bool keep;
  std::vector<Slot> slots;   // by value
  std::size_t scratch = 0;   // bytes for the operation that runs, at the arena's end
  std::uint64_t bytes = 0;   // of the arena
  double work = 0;           // multiplications, comparisons and the like of all operations

  Tensor tensor(int value, const std::vector<Value>& values, std::uint8_t* arena) const;
};

using Operations = std::vector<std::unique_ptr<Operation>>;

// Values that are not alive together share memory, unless `keep`: then all survive the run.
// What one operation joins lies where it will be read, where its writer and other readers can do so.
// Throws Error, with the operation's place in the program, if sizes do not fit; and if the whole
// takes more than `memory_limit` bytes.
MemoryPlan plan_memory(const Operations& operations, const std::vector<Value>& values, Size image,
                       int threads, bool keep, std::int64_t memory_limit);

}  // namespace lbw
