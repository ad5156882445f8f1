/* Fully connected layers of one vector with the DSP instructions, without scratch. Written by stm32pose. */
#include "kernels_fully_connected_dsp.h"

#include "kernels_dsp.h"

#define TOGETHER (4) /* outputs */

/* Four products added to the sum of one output. */
static inline uint32_t add_four(uint32_t even, uint32_t odd, const int8_t *weights, uint32_t sum)
{
  const uint32_t word = dsp_load(weights);
  return dsp_dual(dsp_odd(word), odd, dsp_dual(dsp_even(word), even, sum));
}

/* The last inputs as a word, those that four do not divide; zeros behind them. */
static uint32_t last_word(const int8_t *input, int32_t count)
{
  uint32_t word = 0;
  int32_t i;
  for (i = 0; i < count; i++) {
    word |= (uint32_t)(uint8_t)input[i] << (8 * i);
  }
  return word;
}

/* The sums of four outputs over whole words of inputs. A function of its own, so that all of it stays in registers. */
#if defined(__GNUC__)
__attribute__((noinline))
#endif
static void four_outputs(const int8_t *input, const int8_t *const end, const int8_t *weights, uint32_t *sums)
{
  uint32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
  while (input != end) {
    const uint32_t word = dsp_load(input);
    const uint32_t even = dsp_even(word), odd = dsp_odd(word);
    a = add_four(even, odd, weights, a);
    b = add_four(even, odd, weights + 4, b);
    c = add_four(even, odd, weights + 8, c);
    d = add_four(even, odd, weights + 12, d);
    input += 4;
    weights += 4 * TOGETHER;
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

void fully_connected_dsp(const int8_t *input, int8_t *output, const fully_connected_dsp_params *p)
{
  /* A copy: bytes are written between the uses, and those might lie anywhere for all that the compiler knows. */
  const fully_connected_dsp_params q = *p;
  const int32_t whole = q.inputs & ~3;
  const uint32_t rest = last_word(input + whole, q.inputs - whole);
  const int8_t *weights = q.weights;
  int32_t first, i;
  for (first = 0; first < q.outputs; first += TOGETHER) {
    const int32_t count = q.outputs - first < TOGETHER ? q.outputs - first : TOGETHER;
    uint32_t sums[TOGETHER] = {0, 0, 0, 0};
    for (i = 0; i < count; i++) {
      sums[i] = (uint32_t)q.bias[first + i];
    }
    four_outputs(input, input + whole, weights, sums);
    weights += TOGETHER * whole;
    if (whole != q.inputs) {
      for (i = 0; i < TOGETHER; i++) {
        sums[i] = add_four(dsp_even(rest), dsp_odd(rest), weights + 4 * i, sums[i]);
      }
      weights += 4 * TOGETHER;
    }
    for (i = 0; i < count; i++) {
      const int32_t channel = first + i;
      const int32_t value = requantize_once((int32_t)sums[i], q.multiplier[channel], q.shift[channel]);
      output[channel] = (int8_t)clamp(value + q.output_zero, q.activation_min, q.activation_max);
    }
  }
}
