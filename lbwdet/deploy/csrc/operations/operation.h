// What every operation of a program has to say about itself, and what it finds when it runs.
//
// One operation is one file: a class in an anonymous namespace, made from Fields, and
//   const Registered<MaxPool> registered("MaxPool");
// Nothing else lists operations. A field has the name that the Python class gives it; ranges are
// stated there alone: here sizes are computed in 64 bits, and what does not fit is an Error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../conv/conv.h"
#include "../engine/error.h"
#include "../engine/fields.h"
#include "../engine/scratch.h"
#include "../engine/thread_pool.h"
#include "../vector/loops.h"

namespace lbw {

struct Shape {
  std::int64_t n, h, w, c;

  // Numbers in it; floating point, which no sizes overflow.
  double size() const { return 1.0 * n * h * w * c; }
  std::string text() const;  // "1 x 20 x 30 x 256"
};

inline bool operator==(const Shape& a, const Shape& b) {
  return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}
inline bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

struct Size {
  int height, width;
};

// A value in memory. Of the two maps, the one that `Value::is_float` says.
struct Tensor {
  conv::Map bytes;
  conv::FloatMap floats;
};

struct Image {
  const std::uint8_t* data;  // [height, width, 3]
  Size size;
};

struct Detection {
  float box[4];
  float score;
  std::int64_t label;
  std::vector<std::uint32_t> mask;  // runs of the image's pixels outside and inside, see paste.h
};

// The sizes of an image and of the values that are written so far; `n` is the most there can be.
struct Sizes {
  Size image;
  int threads;
  std::vector<Shape> values;

  const Shape& operator[](int value) const { return values[value]; }
};

// One image on its way through the operations.
struct Frame {
  Image image;
  Size resized;  // before padding; the image's own unless an operation resizes it
  Size bounds;   // what boxes are clipped to: the same, but where pixels were added
  std::vector<Tensor> values;
  std::vector<Detection> detections;
  const std::vector<Value>& descriptions;
  const Loops& loops;
  ThreadPool& pool;
  Scratch scratch;  // what the running operation asked for

  const conv::Map& bytes(int value) const { return values[value].bytes; }
  const conv::FloatMap& floats(int value) const { return values[value].floats; }
  // How real numbers become integers of a value: clamped at 0, or at zero with `relu`.
  Rounding rounding(int value, bool relu = false) const;

  // Makes an output of `n` images ready to be written: of a uint8 one, fills its border.
  const conv::Map& begin_bytes(int value, int n);
  const conv::FloatMap& begin_floats(int value, int n);
};

class Operation {
 public:
  // output: -1: none
  Operation(std::vector<int> inputs, int output) : inputs(std::move(inputs)), output(output) {}
  virtual ~Operation() = default;

  // Shape of the output; throws Error if what it reads does not fit together.
  virtual Shape shape(const Sizes& sizes) const = 0;
  // Border that it needs around the value `input`, of this shape.
  virtual std::int64_t border(int /*input*/, const Shape& /*shape*/) const { return 0; }
  // Whether maps may be some channels of a larger one (Map::pixel): the value `input`, its output.
  virtual bool reads_among(int /*input*/) const { return false; }
  virtual bool writes_among() const { return false; }
  // Whether the output holds inputs[index] as it is, after the channels of those before.
  virtual bool holds(std::size_t /*index*/) const { return false; }
  // Bytes that it needs while it runs, a sum of scratch_bytes(). Its output has a size by now.
  virtual double scratch(const Sizes& /*sizes*/) const { return 0; }
  // Multiplications, comparisons and the like, at most; as it is: one per number of the output.
  virtual double work(const Sizes& sizes) const {
    return output < 0 ? 0 : sizes[output].size();
  }
  // Multiplications of weights with activations.
  virtual std::int64_t multiplications(const Frame& /*frame*/) const { return 0; }
  virtual void run(Frame& frame) const = 0;

  const std::vector<int> inputs;
  const int output;
};

using Maker = std::unique_ptr<Operation> (*)(const Fields& fields);

// A static object of this type adds an operation to those that make() knows.
struct RegisteredMaker {
  RegisteredMaker(const char* name, Maker maker);
};

template <class T>
struct Registered : RegisteredMaker {
  explicit Registered(const char* name)
      : RegisteredMaker(name, [](const Fields& fields) -> std::unique_ptr<Operation> {
          return std::make_unique<T>(fields);
        }) {}
};

std::unique_ptr<Operation> make(const std::string& name, const Fields& fields);

// Throws Error with the message unless the condition holds.
inline void expect(bool condition, const char* problem) {
  if (!condition) throw Error(problem);
}

}  // namespace lbw
