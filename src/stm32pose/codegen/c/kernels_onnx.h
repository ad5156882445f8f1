/* What only ONNX networks need: functions a channel, tables of floats, softmax along any axis. Written by stm32pose. */
#ifndef KERNELS_ONNX_H
#define KERNELS_ONNX_H

#include "kernels_common.h"

typedef struct {
  int32_t pixels;
  int32_t channels;
  int32_t input_zero;
  int32_t output_zero;
  const float *below; /* steps of the output for one step of the input below its zero, one a channel */
  const float *above; /* the same above it */
  const float *start; /* steps of the output at zero */
} channel_lines_params;

/* Two straight lines a channel, which meet at zero. */
void channel_lines(const int8_t *input, int8_t *output, const channel_lines_params *p);

typedef struct {
  int32_t pixels;
  int32_t channels;
  const int8_t *table; /* 256 results a channel, in the order of the stored byte */
} channel_table_params;

void channel_table(const int8_t *input, int8_t *output, const channel_table_params *p);

typedef struct {
  int32_t elements;
  const float *table; /* 256, in the order of the stored byte */
} float_table_params;

void float_table(const int8_t *input, void *output, const float_table_params *p);

typedef struct {
  int32_t outer; /* loops around the axis */
  int32_t depth; /* the axis */
  int32_t inner; /* elements from one of the axis to the next */
  const float *powers; /* 256: of e, for 0 to 255 steps below the largest */
  float scale;         /* of the output */
  int32_t zero;
} softmax_axis_params;

void softmax_axis(const int8_t *input, int8_t *output, const softmax_axis_params *p);
void softmax_axis_to_float(const int8_t *input, void *output, const softmax_axis_params *p);

#endif /* KERNELS_ONNX_H */
