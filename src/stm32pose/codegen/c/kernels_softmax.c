/* Softmax along the last axis. Written by stm32pose. */
#include "kernels_softmax.h"

static int32_t largest(const int8_t *input, int32_t depth)
{
  int32_t found = input[0];
  int32_t i;
  for (i = 1; i < depth; i++) {
    if (input[i] > found) {
      found = input[i];
    }
  }
  return found;
}

/* value * 2^bits, held at the ends of int32. */
static int32_t shift_left_saturated(int32_t value, int32_t bits)
{
  const int64_t wide = (int64_t)value * ((int64_t)1 << bits);
  return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

static int32_t leading_zeros(uint32_t value)
{
  int32_t zeros = 0;
  while (zeros < 32 && (value & 0x80000000u) == 0u) {
    value <<= 1;
    zeros++;
  }
  return zeros;
}

/* 1 / (1 + x) of 0 <= x < 1, both in units of 2^-31: three steps of Newton's method from 48/17 - 32/17 d, of half the
 * denominator d. In units of 2^-29 inside. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
  const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
  int32_t estimate = 1515870810 + multiply_high(half, -1010580540);
  int32_t i;
  for (i = 0; i < 3; i++) {
    const int32_t error = ((int32_t)1 << 29) - multiply_high(half, estimate);
    estimate += shift_left_saturated(multiply_high(estimate, error), 2);
  }
  return shift_left_saturated(estimate, 1);
}

void softmax_int8(const int8_t *input, int8_t *output, const softmax_params *p)
{
  int32_t row;
  for (row = 0; row < p->rows; row++) {
    const int32_t most = largest(input, p->depth);
    uint32_t sum = 0; /* in units of 2^-19 */
    int32_t zeros;
    int32_t scale;
    int32_t right;
    int32_t i;
    for (i = 0; i < p->depth; i++) {
      sum += ((uint32_t)p->exponentials[most - input[i]] + 2048u) >> 12;
    }
    zeros = leading_zeros(sum);
    scale = reciprocal_of_one_plus((int32_t)((sum << zeros) - 0x80000000u));
    right = 12 - zeros + 31 - 8;
    if (right > 31) { /* a row of more than 511 equals: each is nearer to 0 than to 1/256, and so it is with this */
      right = 31;
      scale = 0;
    }
    for (i = 0; i < p->depth; i++) {
      const int32_t share = shift_right_rounded(multiply_high(scale, p->exponentials[most - input[i]]), right);
      output[i] = (int8_t)clamp(share - 128, -128, 127);
    }
    input += p->depth;
    output += p->depth;
  }
}
