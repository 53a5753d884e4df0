#include "engine.h"

#include "../operations/copy_pixels.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <new>

namespace lbw {
namespace {

constexpr std::size_t kPlans = 4;
constexpr std::size_t kPage = 4096;

std::string rounded(double count) {  // "1.3e+12"
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", count);
  return text;
}

}  // namespace

void Engine::FreeArena::operator()(void* memory) const {
  ::operator delete(memory, std::align_val_t{kPage});
}

Engine::Engine(const Isa& isa, int threads, std::int64_t memory_limit, std::int64_t work_limit)
    : isa_(isa), pool_(threads), memory_limit_(memory_limit), work_limit_(work_limit) {}

int Engine::add_value(const Value& value) {
  values_.push_back(value);
  written_.push_back(false);
  plans_.clear();
  return static_cast<int>(values_.size()) - 1;
}

void Engine::add(const std::string& name, const lbw_field* fields, int count) {
  auto operation = make(name, Fields(fields, count, values_, isa_, weights_, pool_));
  for (const int input : operation->inputs)
    if (!written_.at(input)) throw Error("a value is read before it is written");
  if (operation->output >= 0) {
    if (written_.at(operation->output)) throw Error("a value is written twice");
    written_[operation->output] = true;
  }
  operations_.push_back(std::move(operation));
  plans_.clear();
}

const MemoryPlan& Engine::plan_for(Size image, bool keep) {
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const MemoryPlan& plan) {
    return plan.image.height == image.height && plan.image.width == image.width &&
           plan.keep == keep;
  });
  if (found != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, found);
    return plans_.front();
  }
  MemoryPlan plan =
      plan_memory(operations_, values_, image, pool_.threads(), keep, memory_limit_);
  if (plan.work > static_cast<double>(work_limit_))
    throw Error("an image of " + std::to_string(image.height) + " x " +
                std::to_string(image.width) + " pixels takes " + rounded(plan.work) +
                " multiplications and comparisons, more than the limit of " +
                rounded(static_cast<double>(work_limit_)));
  plans_.push_front(std::move(plan));
  if (plans_.size() > kPlans) plans_.pop_back();
  return plans_.front();
}

void Engine::reserve(std::size_t bytes) {
  if (bytes <= arena_bytes_) return;
  arena_.reset();
  arena_bytes_ = 0;
  bytes = (bytes + kPage - 1) / kPage * kPage;
  arena_.reset(static_cast<std::uint8_t*>(::operator new(bytes, std::align_val_t{kPage})));
  arena_bytes_ = bytes;
}

const std::vector<Detection>& Engine::run(const Image& image, bool keep) {
  if (operations_.empty()) throw Error("a program without operations");
  kept_ = false;
  detections_.clear();
  costs_.clear();
  pool_.allow();
  const ThreadPool::Image awake(pool_);
  const MemoryPlan& plan = plan_for(image.size, keep);
  reserve(plan.bytes);
  const Scratch scratch(arena_.get() + plan.bytes - plan.scratch, plan.scratch);
  Frame frame{image,   image.size,    image.size, std::move(tensors_), {},
              values_, *isa_.loops, pool_,      scratch};
  frame.values.clear();
  for (std::size_t i = 0; i < values_.size(); ++i)
    frame.values.push_back(plan.tensor(static_cast<int>(i), values_, arena_.get()));
  std::vector<Cost> costs(operations_.size());
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    const auto start = std::chrono::steady_clock::now();
    frame.scratch = scratch;
    try {
      pool_.check();
      operations_[i]->run(frame);
    } catch (const Cancelled&) {
      throw;
    } catch (const std::exception& error) {
      throw Error("operation " + std::to_string(i) + ": " + error.what());
    }
    const auto took = std::chrono::steady_clock::now() - start;
    costs[i] = {std::chrono::duration_cast<std::chrono::nanoseconds>(took).count(),
                 operations_[i]->multiplications(frame)};
  }
  tensors_ = std::move(frame.values);
  detections_ = std::move(frame.detections);
  costs_ = std::move(costs);
  kept_ = keep;
  return detections_;
}

const Tensor& Engine::kept(int value) const {
  if (!kept_) throw Error("the last run kept no values");
  if (!written_.at(value)) throw Error("no operation writes this value");
  return tensors_[value];
}

Shape Engine::value_shape(int value) const {
  const Tensor& tensor = kept(value);
  if (values_[value].is_float)
    return {tensor.floats.n, tensor.floats.h, tensor.floats.w, tensor.floats.c};
  return {tensor.bytes.n, tensor.bytes.h, tensor.bytes.w, tensor.bytes.c};
}

void Engine::copy_value(int value, void* out) const {
  const Tensor& tensor = kept(value);
  const Shape shape = value_shape(value);
  if (values_[value].is_float) {
    std::memcpy(out, tensor.floats.data, sizeof(float) * shape.n * shape.h * shape.w * shape.c);
    return;
  }
  auto* target = static_cast<std::uint8_t*>(out);
  const conv::Map& map = tensor.bytes;
  for (std::int64_t n = 0; n < shape.n; ++n)
    for (std::int64_t h = 0; h < shape.h; ++h, target += shape.w * shape.c)
      copy_pixels(map.data + n * map.image_stride + h * map.row_stride, target,
                  {map.pixel_stride(), map.c}, map.c, shape.w);
}

}  // namespace lbw
