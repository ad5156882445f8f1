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

/* Adds bytes 0 and 2 of a word, signed, to two 16-bit halves, and bytes 1 and 3 to two others. */
static inline void add_bytes(uint32_t word, uint32_t *even, uint32_t *odd)
{
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
  __asm__("sxtab16 %0, %0, %1" : "+r"(*even) : "r"(word));
  __asm__("sxtab16 %0, %0, %1, ror #8" : "+r"(*odd) : "r"(word));
#else
  *even = ((*even + (word & 0x000000FFu) - ((word & 0x00000080u) << 1)) & 0xFFFFu) |
          ((*even + (word & 0x00FF0000u) - ((word & 0x00800000u) << 1)) & 0xFFFF0000u);
  word >>= 8;
  *odd = ((*odd + (word & 0x000000FFu) - ((word & 0x00000080u) << 1)) & 0xFFFFu) |
         ((*odd + (word & 0x00FF0000u) - ((word & 0x00800000u) << 1)) & 0xFFFF0000u);
#endif
}

#define MOST_IN_HALVES 256 /* 256 * -128 still fits into 16 bits */

static inline void empty_halves(uint32_t even, uint32_t odd, int32_t *sums)
{
  sums[0] += (int16_t)(uint16_t)even;
  sums[1] += (int16_t)(uint16_t)odd;
  sums[2] += (int16_t)(uint16_t)(even >> 16);
  sums[3] += (int16_t)(uint16_t)(odd >> 16);
}

/* Adds the elements of a window to `sums`, of four channels that lie together. */
static inline void add_window(const int8_t *first, int32_t rows, int32_t columns, int32_t row_step, int32_t column_step,
                              int32_t *sums)
{
  uint32_t even = 0;
  uint32_t odd = 0;
  int32_t room = MOST_IN_HALVES;
  int32_t row;
  for (row = 0; row < rows; row++) {
    const int8_t *from = first + row * row_step;
    int32_t left = columns;
    while (left > 0) {
      int32_t run = left < room ? left : room;
      left -= run;
      room -= run;
      for (; run > 0; run--) {
        uint32_t word;
        memcpy(&word, from, sizeof word);
        add_bytes(word, &even, &odd);
        from += column_step;
      }
      if (room == 0) {
        empty_halves(even, odd, sums);
        even = 0;
        odd = 0;
        room = MOST_IN_HALVES;
      }
    }
  }
  empty_halves(even, odd, sums);
}

#endif /* KERNELS_REDUCE_H */
