/* Pools of an int8 tensor [rows, columns, channels]. Written by stm32pose. */
#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H

#include "kernels_common.h"

typedef struct {
  int32_t input_height;
  int32_t input_width;
  int32_t channels;
  int32_t output_height;
  int32_t output_width;
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride_height;
  int32_t stride_width;
  int32_t pad_top;
  int32_t pad_left;
  int32_t low; /* the output's bounds */
  int32_t high;
  const int8_t *table; /* max_pool_int8: what each largest value, by its byte, becomes; none: it stays */
  /* average_pool_float */
  int32_t count; /* what a sum is divided by; 0: the number of elements in it */
  int32_t input_zero;
  int32_t output_zero;
  float input_scale;
  float output_scale;
} pool_params;

void max_pool_int8(const int8_t *input, int8_t *output, const pool_params *p);

/* As LiteRT rounds it; what lies outside the input does not count. */
void average_pool_int8(const int8_t *input, int8_t *output, const pool_params *p);

/* As ONNX Runtime: in float. */
void average_pool_float(const int8_t *input, int8_t *output, const pool_params *p);

#endif /* KERNELS_POOL_H */
