/* Depthwise convolutions for Helium, one output channel for each input channel. Written by stm32pose. */
#ifndef KERNELS_DEPTHWISE_MVE_H
#define KERNELS_DEPTHWISE_MVE_H

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
  int32_t dilation_height;
  int32_t dilation_width;
  int32_t pad_top;
  int32_t pad_left;
  int32_t rows_together; /* depthwise_3x3...: output rows that are made from one copy */
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min;
  int32_t activation_max;
  const int8_t *weights; /* depthwise_mve: [row][column][channel], depthwise_3x3...: [channel][column][row] */
  const int32_t *bias;   /* depthwise_3x3...: with the input's zero point taken out */
  const multiplier_t *multiplier;
  const int8_t *shift;
} depthwise_mve_params;

/* Any kernel. One pixel, eight channels at a time. */
void depthwise_mve(const int8_t *input, int8_t *output, const depthwise_mve_params *p);

/* 3x3, not dilated, stride 1. Rows `rows_together` (even) at a time, in pairs, 16 channels of them at a time; these
   channels of the input rows they need are copied to scratch first: for each pair, 64 bytes for each of output
   width + 2 columns, 4 at least. */
void depthwise_3x3_mve(const int8_t *input, int8_t *output, void *scratch, const depthwise_mve_params *p);

/* 3x3, not dilated, stride 2 along the rows. In the same way, but rows are made one by one: for each, 64 bytes for each
   of 2 * output width + 2 columns, the width rounded up to 4. */
void depthwise_3x3_stride_2_mve(const int8_t *input, int8_t *output, void *scratch, const depthwise_mve_params *p);

#endif /* KERNELS_DEPTHWISE_MVE_H */
