// Class Conv: the kernels of ../conv between values of the program.
#include <algorithm>
#include <memory>

#include "../conv/depthwise.h"
#include "../conv/pack.h"
#include "operation.h"

namespace lbw {
namespace {

constexpr std::size_t kFew = 1 << 16;  // weights that are packed before another thread wakes up
// Of a residual's rows and columns, if a plan is kept; or conv::kMostOffsets. See packed_bytes of conv.py.
constexpr int kFewOffsets = 512;

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
  spec.groups = fields.integer("groups");
  spec.relu = fields.flag("relu");
  const std::string function = fields.text("function");
  expect(function == "identity" || function == "silu", "the function is not known");
  spec.silu = function == "silu";
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
  }
  return spec;
}

// The field 'integers', or codes in it: then `levels` are tables of 256 by code, and `levels_of` says
// which of them each channel has.
conv::Weight weight_of(const Fields& fields, const conv::Spec& spec) {
  const auto integers = fields.int8s("integers");
  const double wanted = 1.0 * spec.out_channels * (spec.in_channels / spec.groups) *
                        spec.kernel_h * spec.kernel_w;
  expect(wanted == static_cast<double>(integers.size),
         "the field 'integers' has another size than channels and kernel say");
  if (!fields.has("levels")) return integers.data;
  const auto levels = fields.int8s("levels");
  const auto of = fields.integers("levels_of");
  const auto tables = static_cast<std::int64_t>(levels.size / 256);
  expect(levels.size % 256 == 0 && of.size == static_cast<std::size_t>(spec.out_channels) &&
             std::all_of(of.begin(), of.end(), [&](int i) { return i >= 0 && i < tables; }),
         "levels are tables of 256, one of them for each channel");
  return {integers.data, levels.data, of.data};
}

// Some channels of a map.
template <class Map>
Map part(const Map& map, int first, int count) {
  Map some = map;
  some.data += first;
  some.c = count;
  some.pixel = static_cast<int>(map.pixel_stride());
  return some;
}

// What plans depend on.
struct Maps {
  Maps() = default;
  Maps(const conv::Map& in, const conv::Map* to, const conv::FloatMap* to_floats,
       const conv::Map* residual, int threads)
      : in(in), to_floats(to_floats), has_residual(residual), threads(threads) {
    if (to) bytes = *to;
    if (to_floats) floats = *to_floats;
    if (residual) this->residual = *residual;
  }

  bool operator==(const Maps& other) const {
    return in == other.in && bytes == other.bytes && floats == other.floats &&
           residual == other.residual && threads == other.threads;
  }

  conv::Map in{}, bytes{}, residual{};
  conv::FloatMap floats{};
  bool to_floats = false, has_residual = false;
  int threads = 0;
};

class Conv : public Operation {
 public:
  explicit Conv(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::map)), spec_(spec_of(fields)) {
    conv::check(spec_);
    expect(spec_.groups > 0, "groups must be positive");
    expect(spec_.in_channels % spec_.groups == 0 && spec_.out_channels % spec_.groups == 0,
           "channels do not fall into groups");
    const conv::Weight weight = weight_of(fields, spec_);
    const auto multiplier = fields.floats("multiplier", spec_.out_channels);
    const auto offset = fields.floats("offset", spec_.out_channels);
    const auto factor = fields.floats("factor", spec_.out_channels);
    std::vector<float> ratio;
    if (spec_.residual) ratio = fields.floats("ratio", spec_.out_channels);
    const auto numbers = [&](int first) {
      return conv::ChannelNumbers{multiplier.data() + first, offset.data() + first,
                                  factor.data() + first,
                                  spec_.residual ? ratio.data() + first : nullptr};
    };
    if (conv::Depthwise::fits(spec_, weight)) {
      depthwise_ = std::make_unique<conv::Depthwise>(spec_, weight, numbers(0), fields.isa);
      return;
    }
    conv::Spec one = spec_;  // of a group
    one.groups = 1;
    one.among = spec_.groups > 1;
    one.in_channels /= spec_.groups;
    one.out_channels /= spec_.groups;
    const std::size_t window = conv::window_of(spec_);
    const conv::Parallel parallel = [&](std::int64_t count, const auto& work) {
      if (window * spec_.out_channels < kFew) return conv::one_by_one(count, work);
      fields.pool.parallel(count, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) work(i);
      });
    };
    for (int group = 0; group < spec_.groups; ++group)
      packed_.emplace_back(one, weight.from(group * one.out_channels, window),
                           numbers(group * one.out_channels), fields.isa, true, &fields.weights,
                           parallel);
  }

  Shape shape(const Sizes& sizes) const override {
    const conv::Spec& spec = spec_;
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
    return input == inputs[0] ? conv::needed_border(spec_, shape.h, shape.w) : 0;
  }

  bool writes_among() const override { return !spec_.to_float; }

  bool reads_among(int input) const override {
    const bool as_residual = spec_.residual && input == inputs[1];
    // Kernels wider than a pixel read neighbours in one run, unless they were packed for groups.
    return (as_residual && input != inputs[0]) || depthwise_ || packed_.size() > 1 ||
           (spec_.kernel_w == 1 && !packed_[0].winograd());
  }

  double scratch(const Sizes& sizes) const override {
    const Shape& out = sizes[output];
    // Of a residual, a plan, or a thread of a depthwise layer, knows where rows and columns lie.
    const auto sides = static_cast<double>(out.h + out.w + out.n);
    const double offsets =
        spec_.residual ? scratch_bytes<std::ptrdiff_t>(sides + conv::kMostOffsets) : 0;
    return (of_thread(sizes) + offsets) * sizes.threads;
  }

  double work(const Sizes& sizes) const override {
    const conv::Spec& spec = spec_;
    return sizes[output].size() * (spec.in_channels / spec.groups) * spec.kernel_h * spec.kernel_w;
  }

  std::int64_t multiplications(const Frame& frame) const override {
    const conv::Spec& spec = spec_;
    const conv::Map& in = frame.bytes(inputs[0]);
    return in.n * conv::output_height(spec, in.h) * conv::output_width(spec, in.w) *
           spec.out_channels * (spec.in_channels / spec.groups) * spec.kernel_h * spec.kernel_w;
  }

  void run(Frame& frame) const override {
    const conv::Map& in = frame.bytes(inputs[0]);
    const conv::Map* const residual = spec_.residual ? &frame.bytes(inputs[1]) : nullptr;
    const conv::FloatMap* const floats =
        spec_.to_float ? &frame.begin_floats(output, in.n) : nullptr;
    const conv::Map* const bytes = floats ? nullptr : &frame.begin_bytes(output, in.n);
    if (in.n == 0) return;
    const int height = floats ? floats->h : bytes->h, width = floats ? floats->w : bytes->w;
    if (depthwise_) {
      const Rounding to = floats ? Rounding{} : frame.rounding(output, spec_.relu);
      const std::int64_t rows = static_cast<std::int64_t>(in.n) * height;
      frame.pool.parallel(rows, 2, [&](std::int64_t begin, std::int64_t end, int) {
        depthwise_->run(in, bytes, floats, residual, to, begin, end);
      });
      return;
    }
    const int threads = frame.pool.threads();
    const std::size_t memory = packed_[0].scratch_bytes(height, width);
    const auto scratch =
        frame.scratch.parts(scratch_bytes<std::uint8_t>(static_cast<double>(memory)), threads);
    const auto run = [&](const conv::Plan& plan) {
      frame.pool.parallel(plan.units(), 1, [&](std::int64_t begin, std::int64_t end, int thread) {
        plan.run(begin, end, scratch.of(thread).take<std::uint8_t>(memory));
      });
    };
    const Maps maps{in, bytes, floats, residual, threads};
    if (spec_.groups == 1 && (!residual || height + width + in.n <= kFewOffsets))
      return run(kept_plan(maps));
    for (int group = 0; group < spec_.groups; ++group) run(plan_of(group, maps));
  }

 private:
  // That of the last image serves as long as maps have the same sizes and places.
  const conv::Plan& kept_plan(const Maps& maps) const {
    if (!plan_ || !(maps == planned_)) {
      plan_ = std::make_unique<conv::Plan>(plan_of(0, maps));
      planned_ = maps;
    }
    return *plan_;
  }

  conv::Plan plan_of(int group, const Maps& maps) const {
    const conv::Packed& packed = packed_[group];
    const int in_count = packed.spec().in_channels, count = packed.spec().out_channels;
    const int first = group * count;
    const conv::Map from = part(maps.in, group * in_count, in_count);
    if (maps.to_floats) return {packed, from, part(maps.floats, first, count), maps.threads};
    const conv::Map to = part(maps.bytes, first, count);
    if (!maps.has_residual) return {packed, from, to, nullptr, maps.threads};
    const conv::Map added = part(maps.residual, first, count);
    return {packed, from, to, &added, maps.threads};
  }

  double of_thread(const Sizes& sizes) const {
    if (packed_.empty()) return 0;
    const Shape& out = sizes[output];
    return scratch_bytes<std::uint8_t>(
        static_cast<double>(packed_[0].scratch_bytes(out.h, out.w)));
  }

  conv::Spec spec_;
  mutable Maps planned_;
  mutable std::unique_ptr<conv::Plan> plan_;
  std::vector<conv::Packed> packed_;             // one, or of each group,
  std::unique_ptr<conv::Depthwise> depthwise_;   // or this
};

const Registered<Conv> registered("Conv");

}  // namespace
}  // namespace lbw
