/* Sums, means and extremes over any axes of an int8 tensor. Written by stm32pose. */
#ifndef KERNELS_REDUCE_H
#define KERNELS_REDUCE_H

#include "kernels_common.h"

#define REDUCE_DIMS 3

/* Loops over what is kept, which make the output in order, and over what is reduced; outermost first. */
typedef struct {
  int32_t kept[REDUCE_DIMS];
  int32_t kept_steps[REDUCE_DIMS];
  int32_t reduced[REDUCE_DIMS];
  int32_t reduced_steps[REDUCE_DIMS];
  int32_t offset;     /* added to each sum: the input's zero point, as often as there are elements in it */
  int32_t multiplier; /* from sums to steps of the output */
  int32_t shift;
  int32_t zero; /* the output's */
  float input_scale;
  float count; /* what reduce_float divides the sum by */
  float output_scale;
  int32_t largest; /* extreme_int8: 1 for the largest, 0 for the smallest */
} reduce_params;

/* Mean or sum as LiteRT rounds it. */
void reduce_int8(const int8_t *input, int8_t *output, const reduce_params *p);

/* As ONNX Runtime: in float. */
void reduce_float(const int8_t *input, int8_t *output, const reduce_params *p);

void extreme_int8(const int8_t *input, int8_t *output, const reduce_params *p);

/* Adds the elements of a window to `sums`, of four channels that lie together. */
static inline void add_window(const int8_t *first, int32_t rows, int32_t columns, int32_t row_step, int32_t column_step,
                              int32_t *sums)
{
  uint32_t even = 0; /* two 16-bit sums each, of values that 128 was added to */
  uint32_t odd = 0;
  int32_t held = 0;
  int32_t row;
  for (row = 0; row < rows; row++) {
    const int8_t *from = first + row * row_step;
    int32_t column;
    for (column = 0; column < columns; column++) {
      uint32_t word;
      memcpy(&word, from, sizeof word);
      word ^= 0x80808080u;
      even += word & 0x00FF00FFu;
      odd += (word >> 8) & 0x00FF00FFu;
      from += column_step;
      held++;
      if (held == 256) { /* 256 * 255 still fits into 16 bits */
        sums[0] += (int32_t)(even & 0xFFFFu) - 128 * held;
        sums[1] += (int32_t)(odd & 0xFFFFu) - 128 * held;
        sums[2] += (int32_t)(even >> 16) - 128 * held;
        sums[3] += (int32_t)(odd >> 16) - 128 * held;
        even = 0;
        odd = 0;
        held = 0;
      }
    }
  }
  sums[0] += (int32_t)(even & 0xFFFFu) - 128 * held;
  sums[1] += (int32_t)(odd & 0xFFFFu) - 128 * held;
  sums[2] += (int32_t)(even >> 16) - 128 * held;
  sums[3] += (int32_t)(odd >> 16) - 128 * held;
}

#endif /* KERNELS_REDUCE_H */
