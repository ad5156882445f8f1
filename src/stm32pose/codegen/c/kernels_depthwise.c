/* Depthwise convolutions in portable C, channels last. Written by stm32pose. */
#include "kernels_depthwise.h"

static int32_t window_sum(const int8_t *input, const depthwise_params *p, int32_t top, int32_t left, int32_t channel)
{
  const int32_t channels = p->input_channels * p->multiplier_channels;
  const int32_t source = channel / p->multiplier_channels;
  int32_t sum = p->bias[channel];
  int32_t i, j;
  for (i = 0; i < p->kernel_height; i++) {
    const int32_t row = top + i * p->dilation_height;
    for (j = 0; j < p->kernel_width; j++) {
      const int32_t column = left + j * p->dilation_width;
      if (row >= 0 && row < p->input_height && column >= 0 && column < p->input_width) {
        sum += p->weights[(i * p->kernel_width + j) * channels + channel] *
               (input[(row * p->input_width + column) * p->input_channels + source] - p->input_zero);
      }
    }
  }
  return sum;
}

void depthwise_conv(const int8_t *input, int8_t *output, const depthwise_params *p)
{
  const int32_t channels = p->input_channels * p->multiplier_channels;
  int32_t row, column, channel;
  for (row = 0; row < p->output_height; row++) {
    for (column = 0; column < p->output_width; column++) {
      for (channel = 0; channel < channels; channel++) {
        const int32_t sum = window_sum(input, p, row * p->stride_height - p->pad_top,
                                       column * p->stride_width - p->pad_left, channel);
        const int32_t value = requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_zero;
        output[channel] = (int8_t)clamp(value, p->activation_min, p->activation_max);
      }
      output += channels;
    }
  }
}
