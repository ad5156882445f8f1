/* Convolutions for Helium. Written by stm32pose. */
#ifndef KERNELS_CONV_MVE_H
#define KERNELS_CONV_MVE_H

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
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min;
  int32_t activation_max;
  const int8_t *weights; /* [output channel][row][column][input channel], and 15 more, of any value */
  const int32_t *bias;   /* with the input's zero point taken out */
  const multiplier_t *multiplier;
  const int8_t *shift;
  int32_t shifts_left; /* whether there are shifts above 0; these channels take longer */
} conv_mve_params;

/* Kernels of one pixel, stride 1. Four pixels, all channels, are finished before the next four are read. */
void conv_pointwise_mve(const int8_t *input, int8_t *output, const conv_mve_params *p);

/* All others. The windows of four output pixels are copied to scratch before their output is written.
   scratch: four times the size of a window, rounded up to 16 each. */
void conv_mve(const int8_t *input, int8_t *output, void *scratch, const conv_mve_params *p);

#endif /* KERNELS_CONV_MVE_H */
