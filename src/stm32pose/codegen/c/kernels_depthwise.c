/* Depthwise convolutions in portable C, channels last. Written by stm32pose. */
#include "kernels_depthwise.h"

#define TOGETHER (32) /* channels whose sums are kept side by side */

/* Add one row and column of the kernel to the sums of `count` channels from `first` on. */
static void add_tap(int32_t *sums, const int8_t *input, const int8_t *weights, const depthwise_params *p, int32_t first,
                    int32_t count)
{
  int32_t i;
  if (p->multiplier_channels == 1) {
    for (i = 0; i < count; i++) {
      sums[i] += weights[first + i] * (input[first + i] - p->input_zero);
    }
  } else {
    for (i = 0; i < count; i++) {
      sums[i] += weights[first + i] * (input[(first + i) / p->multiplier_channels] - p->input_zero);
    }
  }
}

/* One output pixel, channels [first, first + count); the window's first row and column may lie outside the input. */
static void some_channels(const int8_t *input, int8_t *output, const depthwise_params *p, int32_t top, int32_t left,
                          int32_t first, int32_t count)
{
  const int32_t channels = p->input_channels * p->multiplier_channels;
  int32_t sums[TOGETHER];
  int32_t i, j;
  for (i = 0; i < count; i++) {
    sums[i] = p->bias[first + i];
  }
  for (i = 0; i < p->kernel_height; i++) {
    const int32_t row = top + i * p->dilation_height;
    for (j = 0; j < p->kernel_width; j++) {
      const int32_t column = left + j * p->dilation_width;
      if (row >= 0 && row < p->input_height && column >= 0 && column < p->input_width) {
        add_tap(sums, input + (row * p->input_width + column) * p->input_channels,
                p->weights + (i * p->kernel_width + j) * channels, p, first, count);
      }
    }
  }
  for (i = 0; i < count; i++) {
    const int32_t value = requantize(sums[i], p->multiplier[first + i], p->shift[first + i]) + p->output_zero;
    output[first + i] = (int8_t)clamp(value, p->activation_min, p->activation_max);
  }
}

void depthwise_conv(const int8_t *input, int8_t *output, const depthwise_params *p)
{
  const int32_t channels = p->input_channels * p->multiplier_channels;
  int32_t row, column, first;
  for (row = 0; row < p->output_height; row++) {
    const int32_t top = row * p->stride_height - p->pad_top;
    for (column = 0; column < p->output_width; column++) {
      const int32_t left = column * p->stride_width - p->pad_left;
      for (first = 0; first < channels; first += TOGETHER) {
        const int32_t rest = channels - first;
        some_channels(input, output, p, top, left, first, rest < TOGETHER ? rest : TOGETHER);
      }
      output += channels;
    }
  }
}
