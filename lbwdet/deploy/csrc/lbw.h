/* The engine's door to other languages: plain C. An operation is a name and named arrays, so that
 * a new one changes nothing here.
 *
 * Functions that can fail return a negative number (lbw_create: NULL); lbw_last_error() of the
 * same thread then says why. No exception leaves the library. An engine is used by one thread
 * at a time, but for lbw_cancel; different engines may run at the same time.
 * runtime/native_library.py mirrors this file; LBW_ABI changes whenever one of them has to.
 */
#pragma once

#include <stdint.h>

#define LBW_ABI 6
#if defined(_WIN32)
#define LBW_API __declspec(dllexport)
#else
#define LBW_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lbw_engine lbw_engine;

/* What the data of a field are. LBW_VALUE: int32 that lbw_add_value returned. LBW_TEXT: UTF-8, of
 * `count` bytes, not terminated. */
enum { LBW_INT32 = 0, LBW_FLOAT32 = 1, LBW_INT8 = 2, LBW_UINT8 = 3, LBW_TEXT = 4, LBW_VALUE = 5 };

/* A field of an operation's class in runtime/operations, or one of its constants. */
typedef struct {
  const char* name;
  int32_t kind;
  int64_t count; /* 0: an optional field that is not given */
  const void* data;
} lbw_field;

LBW_API int32_t lbw_abi(void);
LBW_API const char* lbw_last_error(void);

/* Instruction sets of this build, slowest first: name of the i-th or NULL, and whether this CPU
 * has it. */
LBW_API const char* lbw_isa_name(int32_t i);
LBW_API int32_t lbw_isa_supported(int32_t i);

/* isa: a name, or NULL for the fastest. memory_limit: bytes that an image may take beside the
 * weights. work_limit: multiplications and comparisons that it may take. */
LBW_API lbw_engine* lbw_create(const char* isa, int32_t threads, int64_t memory_limit,
                               int64_t work_limit);
LBW_API void lbw_destroy(lbw_engine* engine);
LBW_API const char* lbw_isa(const lbw_engine* engine);

/* Bytes of packed weights, and of the memory for values that images needed so far. */
LBW_API void lbw_memory(const lbw_engine* engine, int64_t* weights, int64_t* values);

/* A value; returns its index. border: pixels of the zero point that lie around a uint8 map, at
 * least: operations work with any. */
LBW_API int32_t lbw_add_value(lbw_engine* engine, int32_t is_float, int32_t zero_point,
                              int32_t maximum, int32_t ceil, int32_t border);

/* An operation by the name of its class, in the order of execution. Arrays are copied; fields
 * that it does not know are ignored. */
LBW_API int32_t lbw_add(lbw_engine* engine, const char* operation, const lbw_field* fields,
                        int32_t count);

/* image: [height, width, 3], dense. keep: leave all values for lbw_value. Returns the number of
 * detections. */
LBW_API int32_t lbw_run(lbw_engine* engine, const uint8_t* image, int32_t height, int32_t width,
                        int32_t keep);

/* Of the last run: writes at most `capacity` detections, best first; returns how many there are. */
LBW_API int32_t lbw_result(const lbw_engine* engine, int32_t capacity, float* boxes, float* scores,
                           int64_t* labels);

/* Of the i-th of them: at most `capacity` runs of its mask, pixels outside and inside in turn, column
 * after column of the image; returns how many there are, 0 of a program without masks. */
LBW_API int64_t lbw_mask(const lbw_engine* engine, int32_t i, int64_t capacity, uint32_t* runs);

/* From another thread: the run under way ends soon, with the error "cancelled". */
LBW_API void lbw_cancel(lbw_engine* engine);

/* Of the last run, which kept its values: shape [n, h, w, c], and the content, dense. */
LBW_API int32_t lbw_value_shape(const lbw_engine* engine, int32_t value, int64_t* shape);
LBW_API int32_t lbw_value(const lbw_engine* engine, int32_t value, void* out);

/* Of the last run, per operation: nanoseconds, and multiplications of weights. Returns their
 * number; writes at most `capacity`. */
LBW_API int32_t lbw_profile(const lbw_engine* engine, int32_t capacity, int64_t* nanoseconds,
                            int64_t* multiplications);

#ifdef __cplusplus
}
#endif
