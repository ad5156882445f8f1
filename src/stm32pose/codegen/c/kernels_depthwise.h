/* Depthwise convolutions in portable C, channels last. Written by stm32pose. */
#ifndef KERNELS_DEPTHWISE_H
#define KERNELS_DEPTHWISE_H

#include "kernels_common.h"

typedef struct {
  int32_t input_height;
  int32_t input_width;
  int32_t input_channels;
  int32_t output_height;
  int32_t output_width;
  int32_t multiplier_channels; /* output channels for each input channel */
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride_height;
  int32_t stride_width;
  int32_t dilation_height;
  int32_t dilation_width;
  int32_t pad_top;
  int32_t pad_left;
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min;
  int32_t activation_max;
  const int8_t *weights; /* [row][column][output channel] */
  const int32_t *bias;
  const multiplier_t *multiplier; /* one an output channel */
  const int8_t *shift;
} depthwise_params;

/* Output channel c reads input channel c / multiplier_channels alone. */
void depthwise_conv(const int8_t *input, int8_t *output, const depthwise_params *p);

#endif /* KERNELS_DEPTHWISE_H */
