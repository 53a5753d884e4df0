#include "memory_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lbw {
namespace {

constexpr std::size_t kAlignment = 64;
// Of one value: then the sums of many fit 64 bits. No limit on memory is above.
constexpr double kMostBytes = kMostMemory;

std::uint64_t rounded_up(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Bytes of a row, and of an image, with their borders.
std::size_t row_bytes(const Slot& slot) { return (slot.shape.w + 2 * slot.border) * slot.shape.c; }
std::size_t image_bytes(const Slot& slot) {
  return (slot.shape.h + 2 * slot.border) * row_bytes(slot);
}

double bytes_of(const Slot& slot, bool is_float) {
  const Shape& s = slot.shape;
  const double one = is_float ? sizeof(float) * (1.0 * s.h * s.w * s.c)
                              : (s.h + 2.0 * slot.border) * (s.w + 2.0 * slot.border) * s.c;
  return s.n * one + conv::kSlack;
}

// What is below this, integers of 32 bits can count: the numbers of an image, and of a side twice.
void check_size(const Shape& s) {
  constexpr double kMost = std::numeric_limits<int>::max();
  bool fits = 1.0 * s.h * s.w * s.c <= kMost;
  for (const std::int64_t side : {s.n, s.h, s.w, s.c})
    fits = fits && side >= 0 && side <= kMost / 2;
  if (!fits) throw Error("an output of " + s.text() + " is too large");
}

int checked_border(std::int64_t border) {
  if (border > 1 << 28) throw Error("it needs a border that is too large");
  return static_cast<int>(border);
}

std::string amount(double bytes) {
  const bool large = bytes >= 1 << 20;
  const double units = bytes / (large ? 1 << 20 : 1 << 10);
  return std::to_string(static_cast<std::int64_t>(std::ceil(std::min(units, 1e15)))) +
         (large ? " MiB" : " KiB");
}

void check_memory(double bytes, Size image, std::int64_t limit) {
  if (bytes <= static_cast<double>(limit)) return;
  throw Error("the feature maps of an image of " + std::to_string(image.height) + " x " +
              std::to_string(image.width) + " pixels take " + amount(bytes) +
              ", more than the limit of " + amount(static_cast<double>(limit)));
}

// Largest values first, each at the lowest place that is free throughout its life.
void place(std::vector<Slot>& slots, MemoryPlan& plan) {
  std::vector<Slot*> order, placed;
  for (Slot& slot : slots)
    if (slot.first >= 0 && slot.within < 0) order.push_back(&slot);
  std::stable_sort(order.begin(), order.end(),
                   [](const Slot* a, const Slot* b) { return a->bytes > b->bytes; });
  for (Slot* slot : order) {
    std::uint64_t offset = 0;
    for (const Slot* other : placed) {  // by ascending offset
      if (other->first > slot->last || other->last < slot->first) continue;
      if (offset + slot->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    slot->offset = offset;
    plan.bytes = std::max(plan.bytes, offset + slot->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), slot,
                                   [](const Slot* a, const Slot* b) {
                                     return a->offset < b->offset;
                                   }),
                  slot);
  }
}

// Puts values into the maps that will hold them, so that nobody has to copy them there.
void join(const Operations& operations, std::vector<Slot>& slots) {
  std::vector<bool> fits(slots.size(), true);  // as some channels of a larger map
  for (const auto& operation : operations) {
    for (const int input : operation->inputs)
      fits[input] = fits[input] && operation->reads_among(input);
    if (operation->output >= 0)
      fits[operation->output] = fits[operation->output] && operation->writes_among();
  }
  for (const auto& operation : operations) {
    std::int64_t channel = 0;
    for (std::size_t i = 0; i < operation->inputs.size(); ++i) {
      Slot& slot = slots[operation->inputs[i]];
      if (operation->holds(i) && fits[operation->inputs[i]] && slot.within < 0) {
        Slot& whole = slots[operation->output];
        slot.within = operation->output, slot.channel = channel;
        whole.border = std::max(whole.border, slot.border);
        whole.first = std::min(whole.first, slot.first);
        whole.last = std::max(whole.last, slot.last);
      }
      channel += slot.shape.c;
    }
  }
  // Of maps within maps, the outermost counts: from the last one that joins back to the first.
  for (auto operation = operations.rbegin(); operation != operations.rend(); ++operation) {
    const int output = (*operation)->output;
    if (output < 0 || slots[output].within < 0) continue;
    for (const int input : (*operation)->inputs)
      if (slots[input].within == output) {
        slots[input].within = slots[output].within;
        slots[input].channel += slots[output].channel;
      }
  }
}

}  // namespace

Tensor MemoryPlan::tensor(int value, const std::vector<Value>& values,
                          std::uint8_t* arena) const {
  const Slot& slot = slots[value];
  if (slot.within < 0) return slot.tensor(values[value], arena);
  Tensor tensor = slots[slot.within].tensor(values[slot.within], arena);
  conv::Map& map = tensor.bytes;
  map.data += slot.channel;
  map.pixel = map.c;
  map.c = static_cast<int>(slot.shape.c);
  map.border = slot.border;
  return tensor;
}

Tensor Slot::tensor(const Value& value, std::uint8_t* arena) const {
  Tensor tensor{};
  if (first < 0) return tensor;
  const int n = static_cast<int>(shape.n), h = static_cast<int>(shape.h),
            w = static_cast<int>(shape.w), c = static_cast<int>(shape.c);
  std::uint8_t* const begin = arena + offset;
  if (value.is_float) {
    const auto row = static_cast<std::ptrdiff_t>(shape.w * shape.c);
    tensor.floats = {reinterpret_cast<float*>(begin), n, h, w, c, row, h * row};
  } else {
    const auto row = static_cast<std::ptrdiff_t>(row_bytes(*this));
    tensor.bytes = {begin + border * row + border * shape.c, n, h, w, c, row,
                    static_cast<std::ptrdiff_t>(image_bytes(*this)), border};
  }
  return tensor;
}

MemoryPlan plan_memory(const Operations& operations, const std::vector<Value>& values, Size image,
                       int threads, bool keep, std::int64_t memory_limit) {
  // On machines of 32 bits less: a difference of pointers reaches across all of it.
  memory_limit = std::min<std::int64_t>(
      {memory_limit, kMostMemory, std::numeric_limits<std::ptrdiff_t>::max()});
  MemoryPlan plan{image, keep, std::vector<Slot>(values.size())};
  Sizes sizes{image, threads, std::vector<Shape>(values.size())};
  double scratch = 0;
  const int end = static_cast<int>(operations.size());
  for (int i = 0; i < end; ++i) {
    const Operation& operation = *operations[i];
    try {
      const Shape shape = operation.shape(sizes);
      for (const int input : operation.inputs) {
        Slot& slot = plan.slots[input];
        slot.border = std::max(slot.border, checked_border(operation.border(input, slot.shape)));
        slot.last = i;
      }
      if (operation.output >= 0) {
        check_size(shape);
        sizes.values[operation.output] = shape;
        Slot& slot = plan.slots[operation.output];
        slot.shape = shape;
        slot.border = values[operation.output].border;
        slot.first = slot.last = i;
      }
      scratch = std::max(scratch, operation.scratch(sizes));
      plan.work += operation.work(sizes);
    } catch (const std::exception& error) {
      throw Error("operation " + std::to_string(i) + ": " + error.what());
    }
  }
  join(operations, plan.slots);
  for (std::size_t i = 0; i < values.size(); ++i) {
    Slot& slot = plan.slots[i];
    if (slot.first < 0 || slot.within >= 0) continue;
    if (keep) slot.first = 0, slot.last = end;
    const double bytes = bytes_of(slot, values[i].is_float);
    if (bytes > kMostBytes) check_memory(bytes, image, memory_limit);
    slot.bytes = rounded_up(static_cast<std::uint64_t>(bytes));
  }
  place(plan.slots, plan);
  check_memory(static_cast<double>(plan.bytes) + scratch, image, memory_limit);
  plan.scratch = static_cast<std::size_t>(scratch);
  plan.bytes += plan.scratch;
  return plan;
}

}  // namespace lbw
