/* Fully connected layers of one vector with the DSP instructions, without scratch. Written by stm32pose. */
#ifndef KERNELS_FULLY_CONNECTED_DSP_H
#define KERNELS_FULLY_CONNECTED_DSP_H

#include "kernels_common.h"

typedef struct {
  int32_t inputs;
  int32_t outputs;
  int32_t output_zero;
  int32_t activation_min;
  int32_t activation_max;
  const int8_t *weights; /* [output / 4][input / 4][4 outputs][4 inputs], zeros where there are none */
  const int32_t *bias;   /* with the input's zero point taken out */
  const multiplier_t *multiplier;
  const int8_t *shift;
} fully_connected_dsp_params;

void fully_connected_dsp(const int8_t *input, int8_t *output, const fully_connected_dsp_params *p);

#endif /* KERNELS_FULLY_CONNECTED_DSP_H */
