/* Fully connected layers in portable C. Written by stm32pose. */
#include "kernels_fully_connected.h"

void fully_connected(const int8_t *input, int8_t *output, const fully_connected_params *p)
{
  int32_t row, channel, i;
  for (row = 0; row < p->rows; row++) {
    const int8_t *weights = p->weights;
    for (channel = 0; channel < p->outputs; channel++) {
      int32_t sum = p->bias[channel];
      for (i = 0; i < p->inputs; i++) {
        sum += weights[i] * (input[i] - p->input_zero);
      }
      weights += p->inputs;
      output[channel] =
          (int8_t)clamp(requantize_once(sum, p->multiplier[channel], p->shift[channel]) + p->output_zero,
                        p->activation_min, p->activation_max);
    }
    input += p->inputs;
    output += p->outputs;
  }
}
