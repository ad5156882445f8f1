/* Fully connected layers in portable C. Written by stm32pose. */
#ifndef KERNELS_FULLY_CONNECTED_H
#define KERNELS_FULLY_CONNECTED_H

#include "kernels_common.h"

typedef struct {
  int32_t rows;    /* vectors in the input */
  int32_t inputs;  /* numbers in each */
  int32_t outputs; /* numbers in each result */
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min;
  int32_t activation_max;
  const int8_t *weights; /* [output][input] */
  const int32_t *bias;
  const multiplier_t *multiplier; /* one an output */
  const int8_t *shift;
} fully_connected_params;

void fully_connected(const int8_t *input, int8_t *output, const fully_connected_params *p);

#endif /* KERNELS_FULLY_CONNECTED_H */
