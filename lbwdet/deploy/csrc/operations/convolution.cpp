#include "convolution.h"

#include <algorithm>

namespace lbw {

Convolution::Convolution(conv::Packed packed, int input, int residual, int output)
    : Operation(residual < 0 ? std::vector<int>{input} : std::vector<int>{input, residual},
                output),
      packed_(std::move(packed)),
      input_(input),
      residual_(residual) {}

Shape Convolution::shape(const std::vector<Shape>& shapes, Size) const {
  const conv::Spec& spec = packed_.spec();
  const Shape& in = shapes[input_];
  if (in.c != spec.in_channels)
    throw Error("reads " + std::to_string(in.c) + " channels, its weight has " +
                std::to_string(spec.in_channels));
  const Shape out{in.n, conv::output_height(spec, static_cast<int>(in.h)),
                  conv::output_width(spec, static_cast<int>(in.w)), spec.out_channels};
  if (out.h < 1 || out.w < 1)
    throw Error("a map of " + std::to_string(in.h) + " x " + std::to_string(in.w) +
                " is smaller than the kernel");
  if (residual_ >= 0) {
    const Shape& residual = shapes[residual_];
    const bool fits = spec.upsample ? residual.h <= out.h && residual.w <= out.w
                                    : residual.h == out.h && residual.w == out.w;
    if (!fits || residual.n != out.n || residual.c != out.c)
      throw Error("a residual of " + std::to_string(residual.h) + " x " +
                  std::to_string(residual.w) + " x " + std::to_string(residual.c) +
                  " for an output of " + std::to_string(out.h) + " x " + std::to_string(out.w) +
                  " x " + std::to_string(out.c));
  }
  return out;
}

int Convolution::border(int input, const Shape& shape) const {
  if (input != input_) return 0;
  return conv::needed_border(packed_.spec(), static_cast<int>(shape.h),
                             static_cast<int>(shape.w));
}

std::int64_t Convolution::multiplications(const Frame& frame) const {
  const conv::Spec& spec = packed_.spec();
  const conv::Map& in = frame.values[input_].bytes;
  return static_cast<std::int64_t>(in.n) * conv::output_height(spec, in.h) *
         conv::output_width(spec, in.w) * spec.out_channels * spec.in_channels * spec.kernel_h *
         spec.kernel_w;
}

void Convolution::run(Frame& frame) const {
  const conv::Map& in = frame.values[input_].bytes;
  const auto execute = [&](const conv::Plan& plan) {
    frame.pool.parallel(plan.units(), 1, [&](std::int64_t begin, std::int64_t end, int) {
      plan.run(static_cast<int>(begin), static_cast<int>(end));
    });
  };
  const int threads = frame.pool.threads();
  if (packed_.spec().to_float) {
    const conv::FloatMap& out = frame.begin_floats(output, in.n);
    if (in.n > 0) execute(conv::Plan(packed_, in, out, threads));
  } else {
    const conv::Map& out = frame.begin_bytes(output, in.n);
    const conv::Map* residual = residual_ < 0 ? nullptr : &frame.values[residual_].bytes;
    if (in.n > 0) execute(conv::Plan(packed_, in, out, residual, threads));
  }
}

}  // namespace lbw
