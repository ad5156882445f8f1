/* Convolutions in portable C, channels last. Written by stm32pose. */
#include "kernels_conv.h"

static int32_t dot(const int8_t *input, const int8_t *weights, int32_t count, int32_t input_zero)
{
  int32_t sum = 0;
  int32_t i;
  for (i = 0; i < count; i++) {
    sum += weights[i] * (input[i] - input_zero);
  }
  return sum;
}

static int8_t finish(int32_t sum, int32_t channel, const conv_params *p)
{
  const int32_t value = requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_zero;
  return (int8_t)clamp(value, p->activation_min, p->activation_max);
}

/* The part of a kernel row that lies inside the input: columns [*first, *last) of the kernel. */
static void columns_inside(const conv_params *p, int32_t left, int32_t *first, int32_t *last)
{
  *first = 0;
  *last = p->kernel_width;
  while (*first < *last && left + *first * p->dilation_width < 0) {
    (*first)++;
  }
  while (*last > *first && left + (*last - 1) * p->dilation_width >= p->input_width) {
    (*last)--;
  }
}

/* The sum over one kernel row: `weights` and `input` begin at its first column inside the input. */
static int32_t row_sum(const int8_t *input, const int8_t *weights, const conv_params *p, int32_t columns)
{
  int32_t sum = 0;
  int32_t j;
  if (p->dilation_width == 1 && p->group_channels == p->input_channels) {
    return dot(input, weights, columns * p->input_channels, p->input_zero); /* the columns lie side by side */
  }
  for (j = 0; j < columns; j++) {
    sum += dot(input + j * p->dilation_width * p->input_channels, weights + j * p->group_channels, p->group_channels,
               p->input_zero);
  }
  return sum;
}

/* The window of one output pixel, whose first row and column may lie outside the input. */
static void conv_pixel(const int8_t *input, int8_t *output, const conv_params *p, int32_t top, int32_t left)
{
  const int32_t per_group = p->output_channels / (p->input_channels / p->group_channels);
  const int8_t *weights = p->weights;
  int32_t channel, i, first, last;
  columns_inside(p, left, &first, &last);
  for (channel = 0; channel < p->output_channels; channel++) {
    const int32_t source = (left + first * p->dilation_width) * p->input_channels +
                           channel / per_group * p->group_channels;
    int32_t sum = p->bias[channel];
    for (i = 0; i < p->kernel_height; i++) {
      const int32_t row = top + i * p->dilation_height;
      if (row >= 0 && row < p->input_height && last > first) {
        sum += row_sum(input + row * p->input_width * p->input_channels + source,
                       weights + first * p->group_channels, p, last - first);
      }
      weights += p->kernel_width * p->group_channels;
    }
    output[channel] = finish(sum, channel, p);
  }
}

void conv(const int8_t *input, int8_t *output, const conv_params *p)
{
  int32_t row, column;
  for (row = 0; row < p->output_height; row++) {
    for (column = 0; column < p->output_width; column++) {
      conv_pixel(input, output, p, row * p->stride_height - p->pad_top, column * p->stride_width - p->pad_left);
      output += p->output_channels;
    }
  }
}

/* The input row (or column) that kernel row `tap` carries to an output row; -1: none. */
static int32_t source_of(int32_t position, int32_t tap, int32_t stride, int32_t count)
{
  const int32_t spread = position - tap;
  return spread >= 0 && spread % stride == 0 && spread / stride < count ? spread / stride : -1;
}

void transpose_conv(const int8_t *input, int8_t *output, const conv_params *p)
{
  int32_t y, x, channel, i, j;
  for (y = 0; y < p->output_height; y++) {
    for (x = 0; x < p->output_width; x++) {
      for (channel = 0; channel < p->output_channels; channel++) {
        const int8_t *weights = p->weights + channel * p->kernel_height * p->kernel_width * p->group_channels;
        int32_t sum = p->bias[channel];
        for (i = 0; i < p->kernel_height; i++) {
          const int32_t row = source_of(y + p->pad_top, i * p->dilation_height, p->stride_height, p->input_height);
          for (j = 0; j < p->kernel_width; j++) {
            const int32_t column = source_of(x + p->pad_left, j * p->dilation_width, p->stride_width, p->input_width);
            if (row >= 0 && column >= 0) {
              sum += dot(input + (row * p->input_width + column) * p->input_channels,
                         weights + (i * p->kernel_width + j) * p->group_channels, p->group_channels, p->input_zero);
            }
          }
        }
        output[channel] = finish(sum, channel, p);
      }
      output += p->output_channels;
    }
  }
}
