/* Convolutions in portable C, channels last. Written by stm32pose. */
#ifndef KERNELS_CONV_H
#define KERNELS_CONV_H

#include "kernels_common.h"

typedef struct {
  int32_t input_height;
  int32_t input_width;
  int32_t input_channels;
  int32_t output_height;
  int32_t output_width;
  int32_t output_channels;
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride_height;
  int32_t stride_width;
  int32_t dilation_height;
  int32_t dilation_width;
  int32_t pad_top;
  int32_t pad_left;
  int32_t group_channels; /* input channels that one output channel reads */
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min;
  int32_t activation_max;
  const int8_t *weights; /* [output channel][row][column][channel of its group] */
  const int32_t *bias;
  const multiplier_t *multiplier; /* one an output channel */
  const int8_t *shift;
} conv_params;

/* output = clamp(requantize(bias + sum(weight * (input - input_zero))) + output_zero) */
void conv(const int8_t *input, int8_t *output, const conv_params *p);

/* As `conv`, of an input spread out by the strides: kernels overlap in the output, their sums add up. */
void transpose_conv(const int8_t *input, int8_t *output, const conv_params *p);

#endif /* KERNELS_CONV_H */
