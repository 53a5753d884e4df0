// What an operation is told when it is made: named arrays, checked where they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../conv/weight_store.h"
#include "../isa/isa.h"
#include "../lbw.h"
#include "error.h"
#include "thread_pool.h"

namespace lbw {

// A value of the program: a uint8 map, or a float32 map. Boxes are float32 [n, 1, 1, 4],
// candidates [n, 1, 1, 7].
struct Value {
  bool is_float = false;
  int zero_point = 0;  // the rest: of a uint8 map, see class Quantization
  int maximum = 255;
  bool ceil = false;
  int border = 0;  // at least so many pixels of the zero point around it
};

enum class Kind { bytes, floats, map };  // map: either of the two

struct Pair {
  std::int32_t h, w;
};

// An array of the caller's, there until the operation is made.
template <class T>
struct View {
  const T* data;
  std::size_t size;

  const T* begin() const { return data; }
  const T* end() const { return data + size; }
};

// Every reader throws Error if the field is not there, or holds something else.
class Fields {
 public:
  Fields(const lbw_field* fields, int count, const std::vector<Value>& values, const Isa& isa,
         conv::WeightStore& weights, ThreadPool& pool)
      : fields_(fields), count_(count), values_(values), isa(isa), weights(weights), pool(pool) {}

  bool has(const char* name) const;  // and is not empty

  int integer(const char* name) const;
  bool flag(const char* name) const { return integer(name) != 0; }
  float real(const char* name) const;
  Pair pair(const char* name) const;
  std::string text(const char* name) const;

  View<std::int32_t> integers(const char* name) const;
  std::vector<float> floats(const char* name) const;
  std::vector<float> floats(const char* name, std::size_t count) const;  // exactly so many
  View<std::int8_t> int8s(const char* name) const;
  View<std::uint8_t> bytes(const char* name) const;
  View<std::uint8_t> bytes(const char* name, std::size_t count) const;

  // Values by index.
  int value(const char* name, Kind kind) const;
  std::vector<int> values(const char* name, Kind kind) const;
  const Value& description(int value) const { return values_[value]; }

 private:
  const lbw_field* find(const char* name) const;
  template <class T>
  View<T> view(const char* name, int kind, const char* what) const;

  const lbw_field* fields_;
  int count_;
  const std::vector<Value>& values_;

 public:
  const Isa& isa;              // what the program will run on
  conv::WeightStore& weights;  // of the program
  ThreadPool& pool;
};

}  // namespace lbw
