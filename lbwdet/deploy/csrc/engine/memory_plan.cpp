#include "memory_plan.h"

#include <algorithm>
#include <limits>

namespace lbw {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t rounded_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Bytes of a row, and of an image, with their borders.
std::size_t row_bytes(const Slot& slot) { return (slot.shape.w + 2 * slot.border) * slot.shape.c; }
std::size_t image_bytes(const Slot& slot) {
  return (slot.shape.h + 2 * slot.border) * row_bytes(slot);
}

// Largest values first, each at the lowest place that is free throughout its life.
void place(std::vector<Slot>& slots, MemoryPlan& plan) {
  std::vector<Slot*> order, placed;
  for (Slot& slot : slots)
    if (slot.first >= 0) order.push_back(&slot);
  std::stable_sort(order.begin(), order.end(),
                   [](const Slot* a, const Slot* b) { return a->bytes > b->bytes; });
  for (Slot* slot : order) {
    std::size_t offset = 0;
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

}  // namespace

Tensor Slot::tensor(const Value& value, std::uint8_t* arena) const {
  Tensor tensor{};
  if (first < 0) return tensor;
  const int n = static_cast<int>(shape.n), h = static_cast<int>(shape.h),
            w = static_cast<int>(shape.w), c = static_cast<int>(shape.c);
  std::uint8_t* const begin = arena + offset;
  if (value.is_float) {
    tensor.floats = {reinterpret_cast<float*>(begin), n, h, w, c, shape.w * shape.c,
                     shape.h * shape.w * shape.c};
  } else {
    const auto row = static_cast<std::ptrdiff_t>(row_bytes(*this));
    tensor.bytes = {begin + border * row + border * shape.c, n, h, w, c, row,
                    static_cast<std::ptrdiff_t>(image_bytes(*this)), border};
  }
  return tensor;
}

MemoryPlan plan_memory(const Operations& operations, const std::vector<Value>& values, Size image,
                       bool keep) {
  MemoryPlan plan{image, keep, std::vector<Slot>(values.size()), 0};
  std::vector<Shape> shapes(values.size());
  const int end = static_cast<int>(operations.size());
  for (int i = 0; i < end; ++i) {
    const Operation& operation = *operations[i];
    try {
      const Shape shape = operation.shape(shapes, image);
      // What is below this, integers of 32 bits can count.
      if (1.0 * shape.h * shape.w * shape.c > std::numeric_limits<int>::max())
        throw Error("its output of " + std::to_string(shape.h) + " x " + std::to_string(shape.w) +
                    " x " + std::to_string(shape.c) + " is too large");
      for (const int input : operation.inputs) {
        Slot& slot = plan.slots[input];
        slot.border = std::max(slot.border, operation.border(input, slot.shape));
        slot.last = i;
      }
      if (operation.output < 0) continue;
      shapes[operation.output] = shape;
      Slot& slot = plan.slots[operation.output];
      slot.shape = shape;
      slot.first = slot.last = i;
    } catch (const std::exception& error) {
      throw Error("operation " + std::to_string(i) + ": " + error.what());
    }
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    Slot& slot = plan.slots[i];
    if (slot.first < 0) continue;
    if (keep) slot.first = 0, slot.last = end;
    const std::size_t one = values[i].is_float
                                ? sizeof(float) * slot.shape.h * slot.shape.w * slot.shape.c
                                : image_bytes(slot);
    slot.bytes = rounded_up(slot.shape.n * one + conv::kSlack);
  }
  place(plan.slots, plan);
  return plan;
}

}  // namespace lbw
