// Class Conv: the kernels of ../conv between values of the program.
#include "operation.h"

namespace lbw {
namespace {

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs{fields.value("input", Kind::bytes)};
  if (fields.has("residual")) inputs.push_back(fields.value("residual", Kind::bytes));
  return inputs;
}

conv::Spec spec_of(const Fields& fields) {
  conv::Spec spec{};
  spec.in_channels = fields.integer("in_channels");
  spec.out_channels = fields.integer("out_channels");
  const Pair kernel = fields.pair("kernel"), stride = fields.pair("stride"),
             padding = fields.pair("padding"), dilation = fields.pair("dilation");
  spec.kernel_h = kernel.h, spec.kernel_w = kernel.w;
  spec.stride_h = stride.h, spec.stride_w = stride.w;
  spec.padding_h = padding.h, spec.padding_w = padding.w;
  spec.dilation_h = dilation.h, spec.dilation_w = dilation.w;
  spec.relu = fields.flag("relu");
  const Value& in = fields.description(fields.value("input", Kind::bytes));
  spec.zero_in = in.zero_point;
  spec.maximum_in = in.maximum;
  const Value& out = fields.description(fields.value("output", Kind::map));
  spec.to_float = out.is_float;
  if (!out.is_float) {
    spec.zero_out = out.zero_point;
    spec.maximum_out = out.maximum;
    spec.ceil = out.ceil;
  }
  if (fields.has("residual")) {
    spec.residual = true;
    spec.upsample = fields.flag("upsample");
    spec.zero_residual = fields.description(fields.value("residual", Kind::bytes)).zero_point;
    spec.ratio = fields.real("ratio");
  }
  return spec;
}

conv::Packed packed_of(const Fields& fields) {
  const conv::Spec spec = spec_of(fields);
  const auto integers = fields.int8s("integers");
  for (const int side : {spec.in_channels, spec.out_channels, spec.kernel_h, spec.kernel_w})
    expect(side > 0, "channels and kernel must be positive");
  const double wanted =
      1.0 * spec.out_channels * spec.in_channels * spec.kernel_h * spec.kernel_w;
  expect(wanted == static_cast<double>(integers.size),
         "the field 'integers' has another size than channels and kernel say");
  const auto multiplier = fields.floats("multiplier", spec.out_channels);
  const auto offset = fields.floats("offset", spec.out_channels);
  return {spec,       integers.data, multiplier.data(), offset.data(),
          fields.isa, true,          &fields.weights};
}

class Conv : public Operation {
 public:
  explicit Conv(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::map)),
        packed_(packed_of(fields)) {}

  Shape shape(const Sizes& sizes) const override {
    const conv::Spec& spec = packed_.spec();
    const Shape& in = sizes[inputs[0]];
    if (in.c != spec.in_channels)
      throw Error("reads " + std::to_string(in.c) + " channels, its weight has " +
                  std::to_string(spec.in_channels));
    const Shape out{in.n, conv::output_height(spec, in.h), conv::output_width(spec, in.w),
                    spec.out_channels};
    if (out.h < 1 || out.w < 1)
      throw Error("a map of " + in.text() + " is smaller than the kernel");
    if (spec.residual) {
      const Shape& residual = sizes[inputs[1]];
      const bool same = residual.h == out.h && residual.w == out.w;
      const bool some = residual.h > 0 && residual.w > 0;
      if (!(spec.upsample ? some : same) || residual.n != out.n || residual.c != out.c)
        throw Error("a residual of " + residual.text() + " for an output of " + out.text());
    }
    return out;
  }

  std::int64_t border(int input, const Shape& shape) const override {
    return input == inputs[0] ? conv::needed_border(packed_.spec(), shape.h, shape.w) : 0;
  }

  double scratch(const Sizes& sizes) const override { return of_thread(sizes) * sizes.threads; }

  double work(const Sizes& sizes) const override {
    const conv::Spec& spec = packed_.spec();
    return sizes[output].size() * spec.in_channels * spec.kernel_h * spec.kernel_w;
  }

  std::int64_t multiplications(const Frame& frame) const override {
    const conv::Spec& spec = packed_.spec();
    const conv::Map& in = frame.bytes(inputs[0]);
    return in.n * conv::output_height(spec, in.h) * conv::output_width(spec, in.w) *
           spec.out_channels * spec.in_channels * spec.kernel_h * spec.kernel_w;
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const int threads = frame.pool.threads();
    if (packed_.spec().to_float) {
      const conv::FloatMap& out = frame.begin_floats(output, in.n);
      if (in.n > 0) execute(frame, conv::Plan(packed_, in, out, threads), out.h, out.w);
    } else {
      const conv::Map& out = frame.begin_bytes(output, in.n);
      const conv::Map* residual = packed_.spec().residual ? &frame.bytes(inputs[1]) : nullptr;
      if (in.n > 0) execute(frame, conv::Plan(packed_, in, out, residual, threads), out.h, out.w);
    }
  }

 private:
  double of_thread(const Sizes& sizes) const {
    const Shape& out = sizes[output];
    return scratch_bytes<std::uint8_t>(static_cast<double>(packed_.scratch_bytes(out.h, out.w)));
  }

  void execute(Frame& frame, const conv::Plan& plan, int height, int width) const {
    const std::size_t bytes = packed_.scratch_bytes(height, width);
    const auto scratch = frame.scratch.parts(
        scratch_bytes<std::uint8_t>(static_cast<double>(bytes)), frame.pool.threads());
    frame.pool.parallel(plan.units(), 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      plan.run(begin, end, scratch.of(thread).take<std::uint8_t>(bytes));
    });
  }

  conv::Packed packed_;
};

const Registered<Conv> registered("Conv");

}  // namespace
}  // namespace lbw
