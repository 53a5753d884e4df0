#include "lbw.h"

#include <algorithm>
#include <cstdio>
#include <new>

#include "engine/engine.h"

struct lbw_engine {
  lbw::Engine engine;
};

namespace {

using lbw::expect;
using lbw::Isa;

// No std::string: a thread that ends has nothing to destroy, which WebAssembly knows nothing of.
thread_local char last_error[1024] = "";

void keep(const char* message) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", message);
}

// Calls `function` and returns what it returns; of an exception, the message is kept and
// `failed` returned.
template <typename Function, typename Result>
Result guarded(Function function, Result failed) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    keep("out of memory");
  } catch (const std::exception& error) {
    keep(error.what());
  } catch (...) {
    keep("unknown error");
  }
  return failed;
}

int checked(const lbw_engine* engine, int32_t value) {
  expect(value >= 0 && value < static_cast<int64_t>(engine->engine.values().size()),
         "there is no such value");
  return value;
}

}  // namespace

int32_t lbw_abi(void) { return LBW_ABI; }

const char* lbw_last_error(void) { return last_error; }

const char* lbw_isa_name(int32_t i) {
  const auto& isas = lbw::instruction_sets();
  return i >= 0 && i < static_cast<int64_t>(isas.size()) ? isas[i].name : nullptr;
}

int32_t lbw_isa_supported(int32_t i) {
  return lbw_isa_name(i) != nullptr && lbw::instruction_sets()[i].supported();
}

lbw_engine* lbw_create(const char* isa, int32_t threads, int64_t memory_limit,
                       int64_t work_limit) {
  return guarded(
      [&] {
        expect(threads >= 1 && threads <= 1024, "threads must be 1 to 1024");
        expect(memory_limit > 0 && work_limit > 0, "the limits must be positive");
        const Isa& chosen = isa == nullptr ? lbw::fastest_isa() : lbw::isa_named(isa);
        return new lbw_engine{{chosen, threads, memory_limit, work_limit}};
      },
      static_cast<lbw_engine*>(nullptr));
}

void lbw_destroy(lbw_engine* engine) { delete engine; }

const char* lbw_isa(const lbw_engine* engine) { return engine->engine.isa().name; }

void lbw_memory(const lbw_engine* engine, int64_t* weights, int64_t* values) {
  *weights = static_cast<int64_t>(engine->engine.weight_bytes());
  *values = static_cast<int64_t>(engine->engine.arena_bytes());
}

int32_t lbw_add_value(lbw_engine* engine, int32_t is_float, int32_t zero_point, int32_t maximum,
                      int32_t ceil, int32_t border) {
  return guarded(
      [&] {
        expect(zero_point >= 0 && zero_point <= 255, "zero_point must be 0 to 255");
        expect(maximum >= 0 && maximum <= 255, "maximum must be 0 to 255");
        expect(border >= 0 && border <= 1024, "border must be 0 to 1024");
        return static_cast<int32_t>(
            engine->engine.add_value({is_float != 0, zero_point, maximum, ceil != 0, border}));
      },
      -1);
}

int32_t lbw_add(lbw_engine* engine, const char* operation, const lbw_field* fields,
                int32_t count) {
  return guarded(
      [&] {
        expect(operation != nullptr && count >= 0 && (fields != nullptr || count == 0),
               "an operation needs a name and fields");
        engine->engine.add(operation, fields, count);
        return 0;
      },
      -1);
}

int32_t lbw_run(lbw_engine* engine, const uint8_t* image, int32_t height, int32_t width,
                int32_t keep) {
  return guarded(
      [&] {
        expect(image != nullptr && height > 0 && width > 0 && height <= 1 << 24 &&
                   width <= 1 << 24,
               "an image has 1 to 2**24 pixels on each side");
        return static_cast<int32_t>(
            engine->engine.run({image, {height, width}}, keep != 0).size());
      },
      -1);
}

int32_t lbw_result(const lbw_engine* engine, int32_t capacity, float* boxes, float* scores,
                   int64_t* labels) {
  const auto& detections = engine->engine.detections();
  const auto count = static_cast<int32_t>(detections.size());
  for (int32_t i = 0; i < std::min(count, capacity); ++i) {
    std::copy_n(detections[i].box, 4, boxes + 4 * static_cast<int64_t>(i));
    scores[i] = detections[i].score;
    labels[i] = detections[i].label;
  }
  return count;
}

int64_t lbw_mask(const lbw_engine* engine, int32_t i, int64_t capacity, uint32_t* runs) {
  return guarded(
      [&] {
        const auto& detections = engine->engine.detections();
        expect(i >= 0 && i < static_cast<int64_t>(detections.size()), "there is no such detection");
        const auto& mask = detections[i].mask;
        const auto count = static_cast<int64_t>(mask.size());
        std::copy_n(mask.data(), std::min(count, capacity), runs);
        return count;
      },
      static_cast<int64_t>(-1));
}

void lbw_cancel(lbw_engine* engine) { engine->engine.cancel(); }

int32_t lbw_value_shape(const lbw_engine* engine, int32_t value, int64_t* shape) {
  return guarded(
      [&] {
        const lbw::Shape found = engine->engine.value_shape(checked(engine, value));
        const int64_t sides[] = {found.n, found.h, found.w, found.c};
        std::copy_n(sides, 4, shape);
        return 0;
      },
      -1);
}

int32_t lbw_value(const lbw_engine* engine, int32_t value, void* out) {
  return guarded(
      [&] {
        engine->engine.copy_value(checked(engine, value), out);
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
