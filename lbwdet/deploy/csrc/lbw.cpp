#include "lbw.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <string>

#include "engine/engine.h"
#include "operations/convolution.h"
#include "operations/detections.h"
#include "operations/max_pool.h"
#include "operations/preprocess.h"
#include "operations/proposals.h"
#include "operations/ps_roi_align.h"
#include "operations/requantize.h"
#include "operations/roi_align.h"

struct lbw_engine {
  lbw::Engine engine;
};

namespace {

using lbw::Error;
using lbw::conv::Isa;

constexpr Isa kIsas[] = {Isa::portable, Isa::neon_dotprod, Isa::avx2, Isa::avx_vnni,
                         Isa::avx512_vnni};

thread_local std::string last_error;

// Calls `function` and returns what it returns; of an exception, the message is kept and
// `failed` returned.
template <typename Function, typename Result>
Result guarded(Function function, Result failed) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    last_error = "out of memory";
  } catch (const std::exception& error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown error";
  }
  return failed;
}

Isa isa_of(const char* wanted) {
  if (wanted == nullptr) return lbw::conv::best();
  for (const Isa isa : kIsas) {
    if (std::strcmp(lbw::conv::name(isa), wanted) != 0) continue;
    if (!lbw::conv::supported(isa))
      throw Error(std::string("this CPU or this build lacks the instruction set ") + wanted);
    return isa;
  }
  throw Error(std::string("unknown instruction set ") + wanted);
}

// What a description must say for the code behind it to be safe.
void require(bool condition, const char* what) {
  if (!condition) throw Error(std::string("invalid description: ") + what);
}

const lbw::Value& value_of(const lbw_engine* engine, int32_t value, bool is_float) {
  const auto& values = engine->engine.values();
  require(value >= 0 && value < static_cast<int32_t>(values.size()), "no such value");
  require(values[value].is_float == is_float,
          is_float ? "a uint8 map where a float one belongs" : "a float map where uint8 belongs");
  return values[value];
}

lbw::BoxCoder coder_of(const lbw_box_coder& description) {
  lbw::BoxCoder coder{};
  std::copy_n(description.means, 4, coder.means);
  std::copy_n(description.stds, 4, coder.stds);
  coder.max_log_ratio = description.max_log_ratio;
  require(coder.max_log_ratio >= 0, "max_log_ratio");
  return coder;
}

template <typename Operation, typename... Arguments>
int32_t add(lbw_engine* engine, Arguments&&... arguments) {
  engine->engine.add(std::make_unique<Operation>(std::forward<Arguments>(arguments)...));
  return 0;
}

}  // namespace

int32_t lbw_abi(void) { return LBW_ABI; }

const char* lbw_last_error(void) { return last_error.c_str(); }

const char* lbw_isa_name(int32_t i) {
  return i >= 0 && i < static_cast<int32_t>(std::size(kIsas)) ? lbw::conv::name(kIsas[i]) : nullptr;
}

int32_t lbw_isa_supported(int32_t i) {
  return lbw_isa_name(i) != nullptr && lbw::conv::supported(kIsas[i]);
}

lbw_engine* lbw_create(const char* isa, int32_t threads, int64_t memory_limit) {
  return guarded(
      [&] {
        require(threads >= 1 && threads <= 1024, "threads");
        require(memory_limit > 0, "memory_limit");
        return new lbw_engine{{isa_of(isa), threads, memory_limit}};
      },
      static_cast<lbw_engine*>(nullptr));
}

void lbw_destroy(lbw_engine* engine) { delete engine; }

const char* lbw_isa(const lbw_engine* engine) { return lbw::conv::name(engine->engine.isa()); }

int32_t lbw_add_value(lbw_engine* engine, int32_t is_float, int32_t zero_point, int32_t maximum,
                      int32_t ceil) {
  return guarded(
      [&] {
        require(zero_point >= 0 && zero_point <= 255, "zero_point");
        require(maximum >= 0 && maximum <= 255, "maximum");
        return static_cast<int32_t>(
            engine->engine.add_value({is_float != 0, zero_point, maximum, ceil != 0}));
      },
      -1);
}

int32_t lbw_add_preprocess(lbw_engine* engine, const lbw_preprocess* description) {
  return guarded(
      [&] {
        const lbw_preprocess& d = *description;
        value_of(engine, d.output, false);
        require(d.width > 0 && d.height > 0 && d.width <= 1 << 20 && d.height <= 1 << 20, "size");
        require(d.size_divisor > 0 && d.size_divisor <= 1 << 20, "size_divisor");
        lbw::Preprocess::Settings settings{d.width,       d.height,       d.keep_ratio != 0,
                                           d.to_rgb != 0, d.size_divisor, {}};
        std::copy_n(d.table, settings.table.size(), settings.table.begin());
        return add<lbw::Preprocess>(engine, settings, d.output);
      },
      -1);
}

int32_t lbw_add_conv(lbw_engine* engine, const lbw_conv* description) {
  return guarded(
      [&] {
        const lbw_conv& d = *description;
        const lbw::Value& in = value_of(engine, d.input, false);
        lbw::conv::Spec spec{};
        spec.in_channels = d.in_channels;
        spec.out_channels = d.out_channels;
        spec.kernel_h = d.kernel[0], spec.kernel_w = d.kernel[1];
        spec.stride_h = d.stride[0], spec.stride_w = d.stride[1];
        spec.padding_h = d.padding[0], spec.padding_w = d.padding[1];
        spec.dilation_h = d.dilation[0], spec.dilation_w = d.dilation[1];
        spec.relu = d.relu != 0;
        spec.zero_in = in.zero_point;
        spec.maximum_in = in.maximum;
        require(d.output >= 0 && d.output < static_cast<int32_t>(engine->engine.values().size()),
                "no such value");
        const lbw::Value& out = engine->engine.values()[d.output];
        spec.to_float = out.is_float;
        if (!out.is_float) {
          spec.zero_out = out.zero_point;
          spec.maximum_out = out.maximum;
          spec.ceil = out.ceil;
        }
        if (d.residual >= 0) {
          require(!out.is_float, "a residual on a float output");
          spec.residual = true;
          spec.upsample = d.upsample != 0;
          spec.zero_residual = value_of(engine, d.residual, false).zero_point;
          spec.ratio = d.ratio;
        }
        return add<lbw::Convolution>(
            engine,
            lbw::conv::Packed(spec, d.integers, d.multiplier, d.offset, engine->engine.isa()),
            d.input, d.residual >= 0 ? d.residual : -1, d.output);
      },
      -1);
}

int32_t lbw_add_max_pool(lbw_engine* engine, const lbw_max_pool* description) {
  return guarded(
      [&] {
        const lbw_max_pool& d = *description;
        value_of(engine, d.input, false);
        value_of(engine, d.output, false);
        for (int axis = 0; axis < 2; ++axis) {
          require(d.kernel[axis] > 0 && d.kernel[axis] <= 1024, "kernel");
          require(d.stride[axis] > 0 && d.stride[axis] <= 1024, "stride");
          // Else a window could lie in the padding alone, where nothing counts.
          require(d.padding[axis] >= 0 && d.padding[axis] < d.kernel[axis], "padding");
        }
        return add<lbw::MaxPool>(
            engine,
            lbw::MaxPool::Settings{d.kernel[0], d.kernel[1], d.stride[0], d.stride[1],
                                   d.padding[0], d.padding[1]},
            d.input, d.output);
      },
      -1);
}

int32_t lbw_add_requantize(lbw_engine* engine, const lbw_requantize* description) {
  return guarded(
      [&] {
        const lbw_requantize& d = *description;
        value_of(engine, d.input, false);
        const int maximum = value_of(engine, d.output, false).maximum;
        lbw::Requantize::Table table;
        std::copy_n(d.table, table.size(), table.begin());
        // A convolution that reads the output relies on it.
        require(*std::max_element(table.begin(), table.end()) <= maximum, "table");
        return add<lbw::Requantize>(engine, table, d.input, d.output);
      },
      -1);
}

int32_t lbw_add_proposals(lbw_engine* engine, const lbw_proposals* description) {
  return guarded(
      [&] {
        const lbw_proposals& d = *description;
        require(d.num_levels > 0 && d.num_anchors > 0, "levels and anchors");
        require(d.pre_nms > 0 && d.max_boxes > 0, "pre_nms and max_boxes");
        value_of(engine, d.output, true);
        lbw::Proposals::Settings settings{{},         coder_of(d.coder), d.pre_nms,
                                          d.max_boxes, d.iou_threshold,   d.min_size};
        for (int32_t l = 0; l < d.num_levels; ++l) {
          value_of(engine, d.scores[l], true);
          value_of(engine, d.deltas[l], true);
          lbw::Proposals::Level level{d.scores[l], d.deltas[l], d.strides[l], {}};
          for (int32_t a = 0; a < d.num_anchors; ++a) {
            const float* const box = d.base_anchors + 4 * (l * d.num_anchors + a);
            level.base_anchors.push_back({box[0], box[1], box[2], box[3]});
          }
          settings.levels.push_back(std::move(level));
        }
        return add<lbw::Proposals>(engine, std::move(settings), d.output);
      },
      -1);
}

int32_t lbw_add_roi_align(lbw_engine* engine, const lbw_roi_align* description) {
  return guarded(
      [&] {
        const lbw_roi_align& d = *description;
        require(d.num_levels > 0 && d.num_levels <= 16, "levels");
        require(d.size > 0 && d.size <= 1024, "size");
        require(d.sampling_ratio <= 1024, "sampling_ratio");
        value_of(engine, d.boxes, true);
        value_of(engine, d.output, false);
        lbw::RoIAlign::Settings settings{{}, d.boxes, d.size, d.sampling_ratio, d.finest_scale};
        for (int32_t l = 0; l < d.num_levels; ++l) {
          value_of(engine, d.inputs[l], false);
          settings.levels.push_back({d.inputs[l], d.scales[l], d.ratios[l]});
        }
        return add<lbw::RoIAlign>(engine, std::move(settings), d.output);
      },
      -1);
}

int32_t lbw_add_ps_roi_align(lbw_engine* engine, const lbw_ps_roi_align* description) {
  return guarded(
      [&] {
        const lbw_ps_roi_align& d = *description;
        require(d.size > 0 && d.size <= 1024, "size");
        require(d.sampling_ratio <= 1024, "sampling_ratio");
        for (const int32_t value : {d.input, d.boxes, d.output}) value_of(engine, value, true);
        return add<lbw::PSRoIAlign>(
            engine,
            lbw::PSRoIAlign::Settings{d.input, d.boxes, d.size, d.sampling_ratio, d.scale},
            d.output);
      },
      -1);
}

int32_t lbw_add_detections(lbw_engine* engine, const lbw_detections* description) {
  return guarded(
      [&] {
        const lbw_detections& d = *description;
        for (const int32_t value : {d.scores, d.deltas, d.boxes}) value_of(engine, value, true);
        require(d.num_classes > 0 && d.max_boxes > 0, "num_classes and max_boxes");
        return add<lbw::Detections>(
            engine, lbw::Detections::Settings{d.scores, d.deltas, d.boxes, d.num_classes,
                                              d.class_agnostic != 0, coder_of(d.coder),
                                              d.score_threshold, d.iou_threshold, d.max_boxes});
      },
      -1);
}

int32_t lbw_run(lbw_engine* engine, const uint8_t* image, int32_t height, int32_t width,
                int32_t keep, int32_t capacity, float* boxes, float* scores, int64_t* labels) {
  return guarded(
      [&] {
        require(height > 0 && width > 0 && height <= 1 << 24 && width <= 1 << 24, "image size");
        const auto& detections = engine->engine.run({image, {height, width}}, keep != 0);
        const auto count = static_cast<int32_t>(detections.size());
        for (int32_t i = 0; i < std::min(count, capacity); ++i) {
          std::copy_n(detections[i].box, 4, boxes + 4 * i);
          scores[i] = detections[i].score;
          labels[i] = detections[i].label;
        }
        return count;
      },
      -1);
}

int32_t lbw_value_shape(const lbw_engine* engine, int32_t value, int64_t* shape) {
  return guarded(
      [&] {
        require(value >= 0 && value < static_cast<int32_t>(engine->engine.values().size()),
                "no such value");
        const lbw::Shape found = engine->engine.value_shape(value);
        const int64_t sides[] = {found.n, found.h, found.w, found.c};
        std::copy_n(sides, 4, shape);
        return 0;
      },
      -1);
}

int32_t lbw_value(const lbw_engine* engine, int32_t value, void* out) {
  return guarded(
      [&] {
        require(value >= 0 && value < static_cast<int32_t>(engine->engine.values().size()),
                "no such value");
        engine->engine.copy_value(value, out);
        return 0;
      },
      -1);
}

int32_t lbw_profile(const lbw_engine* engine, int32_t capacity, int64_t* nanoseconds,
                    int64_t* multiplications) {
  const auto& costs = engine->engine.costs();
  const auto count = static_cast<int32_t>(costs.size());
  for (int32_t i = 0; i < std::min(count, capacity); ++i) {
    nanoseconds[i] = costs[i].nanoseconds;
    multiplications[i] = costs[i].multiplications;
  }
  return count;
}
