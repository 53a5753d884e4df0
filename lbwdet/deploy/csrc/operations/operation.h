// What every operation of a program has to say about itself, and what it finds when it runs.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../conv/conv.h"
#include "../engine/thread_pool.h"
#include "../vector/loops.h"

namespace lbw {

// A message for the user, who gave something that cannot be done.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Shape {
  std::int64_t n, h, w, c;
};

struct Size {
  int height, width;
};

// A value of the program: a uint8 map, or a float32 map; boxes are float32 [n, 1, 1, 4].
struct Value {
  bool is_float = false;
  int zero_point = 0;  // the rest: of a uint8 map, see class Quantization
  int maximum = 255;
  bool ceil = false;
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
};

// One image on its way through the operations.
struct Frame {
  Image image;
  Size resized;  // before padding
  std::vector<Tensor> values;
  std::vector<Detection> detections;
  const std::vector<Value>& descriptions;
  const Loops& loops;
  ThreadPool& pool;

  // Makes a uint8 output of `n` images ready to be written: fills its border.
  conv::Map& begin_bytes(int value, int n);
  conv::FloatMap& begin_floats(int value, int n);
};

class Operation {
 public:
  Operation(std::vector<int> inputs, int output) : inputs(std::move(inputs)), output(output) {}
  virtual ~Operation() = default;

  // Shape of the output, `n` the most there can be. `shapes` holds those of all values so far.
  virtual Shape shape(const std::vector<Shape>& shapes, Size image) const = 0;
  // Border that it needs around the value `input`, of this shape.
  virtual int border(int /*input*/, const Shape& /*shape*/) const { return 0; }
  // Multiplications of weights with activations.
  virtual std::int64_t multiplications(const Frame& /*frame*/) const { return 0; }
  virtual void run(Frame& frame) const = 0;

  const std::vector<int> inputs;
  const int output;  // -1: none
};

}  // namespace lbw
