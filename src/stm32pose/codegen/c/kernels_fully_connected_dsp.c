/* Fully connected layers of one vector with the DSP instructions, without scratch. Written by stm32pose. */
#include "kernels_fully_connected_dsp.h"

#include "kernels_dsp.h"

static int8_t finish(uint32_t sum, int32_t channel, const fully_connected_dsp_params *p)
{
  const int32_t value = requantize_once((int32_t)sum, p->multiplier[channel], p->shift[channel]) + p->output_zero;
  return (int8_t)clamp(value, p->activation_min, p->activation_max);
}

/* The products of inputs and weights that four do not divide, added to a sum. */
static uint32_t add_rest(const int8_t *input, const int8_t *weights, int32_t count, uint32_t sum)
{
  int32_t i;
  for (i = 0; i < count; i++) {
    sum += (uint32_t)(input[i] * weights[i]);
  }
  return sum;
}

/* Four products added to the sums of two outputs. */
static inline void add_four(const int8_t *input, const int8_t *one, const int8_t *two, uint32_t *first, uint32_t *second)
{
  const uint32_t word = dsp_load(input), a = dsp_load(one), b = dsp_load(two);
  const uint32_t even = dsp_even(word), odd = dsp_odd(word);
  *first = dsp_dual(dsp_even(a), even, *first);
  *second = dsp_dual(dsp_even(b), even, *second);
  *first = dsp_dual(dsp_odd(a), odd, *first);
  *second = dsp_dual(dsp_odd(b), odd, *second);
}

/* Two outputs at once; a last one without a second is made beside itself. */
static void two_outputs(const int8_t *input, const int8_t *one, const int8_t *two, int32_t inputs, uint32_t *sums)
{
  const int8_t *const end = input + (inputs & ~7);
  uint32_t first = sums[0], second = sums[1];
  while (input != end) {
    add_four(input, one, two, &first, &second);
    add_four(input + 4, one + 4, two + 4, &first, &second);
    input += 8;
    one += 8;
    two += 8;
  }
  if ((inputs & 4) != 0) {
    add_four(input, one, two, &first, &second);
    input += 4;
    one += 4;
    two += 4;
  }
  sums[0] = add_rest(input, one, inputs & 3, first);
  sums[1] = add_rest(input, two, inputs & 3, second);
}

void fully_connected_dsp(const int8_t *input, int8_t *output, const fully_connected_dsp_params *p)
{
  const int8_t *weights = p->weights;
  int32_t channel;
  for (channel = 0; channel < p->outputs; channel += 2) {
    const int32_t other = channel + 1 < p->outputs ? channel + 1 : channel;
    uint32_t sums[2];
    sums[0] = (uint32_t)p->bias[channel];
    sums[1] = (uint32_t)p->bias[other];
    two_outputs(input, weights, weights + (other - channel) * p->inputs, p->inputs, sums);
    output[channel] = finish(sums[0], channel, p);
    output[other] = finish(sums[1], other, p);
    weights += 2 * p->inputs;
  }
}
