// A detector in memory: operations in kernel order, threads, and the arena of its values.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "../conv/weight_store.h"
#include "../isa/isa.h"
#include "../operations/operation.h"
#include "memory_plan.h"
#include "thread_pool.h"

namespace lbw {

class Engine {
 public:
  // memory_limit: bytes that one image may take. work_limit: multiplications, comparisons and
  // the like that it may take. Both are held before anything is computed.
  Engine(const Isa& isa, int threads, std::int64_t memory_limit, std::int64_t work_limit);

  const Isa& isa() const { return isa_; }
  const std::vector<Value>& values() const { return values_; }

  std::size_t weight_bytes() const { return weights_.bytes(); }
  std::size_t arena_bytes() const { return arena_bytes_; }

  int add_value(const Value& value);
  // In the order of execution: every input has been written before.
  void add(const std::string& operation, const lbw_field* fields, int count);

  // keep: leave every value in memory, for value(); else memory is reused.
  const std::vector<Detection>& run(const Image& image, bool keep);
  const std::vector<Detection>& detections() const { return detections_; }
  // From any thread: the run under way ends with Cancelled.
  void cancel() { pool_.cancel(); }

  // A value of the last run, if it kept them.
  Shape value_shape(int value) const;
  void copy_value(int value, void* out) const;

  // Of every operation in the last run.
  struct Cost {
    std::int64_t nanoseconds, multiplications;
  };
  const std::vector<Cost>& costs() const { return costs_; }

 private:
  const MemoryPlan& plan_for(Size image, bool keep);
  void reserve(std::size_t bytes);
  const Tensor& kept(int value) const;

  struct FreeArena {
    void operator()(void* memory) const;
  };

  const Isa& isa_;
  ThreadPool pool_;
  const std::int64_t memory_limit_, work_limit_;
  conv::WeightStore weights_;
  std::vector<Value> values_;
  std::vector<bool> written_;
  Operations operations_;

  std::list<MemoryPlan> plans_;  // the last few sizes, latest first
  std::unique_ptr<std::uint8_t, FreeArena> arena_;
  std::size_t arena_bytes_ = 0;
  std::vector<Tensor> tensors_;
  std::vector<Detection> detections_;
  std::vector<Cost> costs_;
  bool kept_ = false;
};

}  // namespace lbw
