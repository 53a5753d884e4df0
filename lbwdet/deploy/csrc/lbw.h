/* The engine's door to other languages: plain C, described by plain structs.
 *
 * Functions that can fail return a negative number (lbw_create: NULL); lbw_last_error() of the
 * same thread then says why. No exception leaves the library. An engine is used by one thread
 * at a time; different engines may run at the same time.
 * runtime/native.py mirrors this file; LBW_ABI changes whenever one of them has to.
 */
#pragma once

#include <stdint.h>

#define LBW_ABI 3
#define LBW_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lbw_engine lbw_engine;

/* The fields are those of the classes in runtime/operations.py; values are the indices that
 * lbw_add_value returned. */
typedef struct {
  int32_t output;
  int32_t width, height, keep_ratio, to_rgb, size_divisor;
  const uint8_t* table; /* [3, 256]: of output channel and pixel */
} lbw_preprocess;

typedef struct {
  int32_t input, residual, output; /* residual: -1 for none */
  int32_t in_channels, out_channels;
  int32_t kernel[2], stride[2], padding[2], dilation[2]; /* height, width */
  int32_t relu, upsample;
  float ratio;             /* scale of the residual over that of the output */
  const int8_t* integers;  /* [o, i, kh, kw] */
  const float* multiplier; /* [o] */
  const float* offset;     /* [o] */
} lbw_conv;

typedef struct {
  int32_t input, output;
  int32_t kernel[2], stride[2], padding[2];
} lbw_max_pool;

typedef struct {
  int32_t input, output;
  const uint8_t* table; /* [256] */
} lbw_requantize;

typedef struct {
  float means[4], stds[4];
  float max_log_ratio; /* f32(abs(log(max_ratio))) */
} lbw_box_coder;

typedef struct {
  int32_t output, num_levels, num_anchors; /* anchors per cell, the same on every level */
  const int32_t *scores, *deltas, *strides; /* [levels] */
  const float* base_anchors;                /* [levels, anchors, 4] */
  lbw_box_coder coder;
  int32_t pre_nms, max_boxes;
  float iou_threshold, min_size;
} lbw_proposals;

typedef struct {
  int32_t boxes, output, num_levels;
  const int32_t* inputs; /* [levels] */
  const float* scales;   /* [levels]: 1 / stride */
  const float* ratios;   /* [levels]: scale of the map over that of the output */
  int32_t size, sampling_ratio;
  float finest_scale;
} lbw_roi_align;

typedef struct {
  int32_t input, boxes, output;
  int32_t size, sampling_ratio;
  float scale; /* 1 / stride */
} lbw_ps_roi_align;

typedef struct {
  int32_t scores, deltas, boxes;
  int32_t num_classes, class_agnostic;
  lbw_box_coder coder;
  float score_threshold, iou_threshold;
  int32_t max_boxes;
} lbw_detections;

LBW_API int32_t lbw_abi(void);
LBW_API const char* lbw_last_error(void);

/* Instruction sets of this build: name of the i-th or NULL, and whether this CPU has it. */
LBW_API const char* lbw_isa_name(int32_t i);
LBW_API int32_t lbw_isa_supported(int32_t i);

/* isa: a name, or NULL for the fastest. memory_limit: bytes for the feature maps of an image. */
LBW_API lbw_engine* lbw_create(const char* isa, int32_t threads, int64_t memory_limit);
LBW_API void lbw_destroy(lbw_engine* engine);
LBW_API const char* lbw_isa(const lbw_engine* engine);

/* Values and operations, in the order of execution. Arrays are copied. */
LBW_API int32_t lbw_add_value(lbw_engine* engine, int32_t is_float, int32_t zero_point,
                              int32_t maximum, int32_t ceil);
LBW_API int32_t lbw_add_preprocess(lbw_engine* engine, const lbw_preprocess* description);
LBW_API int32_t lbw_add_conv(lbw_engine* engine, const lbw_conv* description);
LBW_API int32_t lbw_add_max_pool(lbw_engine* engine, const lbw_max_pool* description);
LBW_API int32_t lbw_add_requantize(lbw_engine* engine, const lbw_requantize* description);
LBW_API int32_t lbw_add_proposals(lbw_engine* engine, const lbw_proposals* description);
LBW_API int32_t lbw_add_roi_align(lbw_engine* engine, const lbw_roi_align* description);
LBW_API int32_t lbw_add_ps_roi_align(lbw_engine* engine, const lbw_ps_roi_align* description);
LBW_API int32_t lbw_add_detections(lbw_engine* engine, const lbw_detections* description);

/* image: [height, width, 3], dense. keep: leave all values for lbw_value.
 * Writes at most `capacity` detections, best first; returns how many there are. */
LBW_API int32_t lbw_run(lbw_engine* engine, const uint8_t* image, int32_t height, int32_t width,
                        int32_t keep, int32_t capacity, float* boxes, float* scores,
                        int64_t* labels);

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
