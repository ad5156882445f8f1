/* Softmax along the last axis. Written by stm32pose. */
#ifndef KERNELS_SOFTMAX_H
#define KERNELS_SOFTMAX_H

#include "kernels_common.h"

typedef struct {
  int32_t rows;
  int32_t depth;
  const int32_t *exponentials; /* 256, of 0 to 255 steps below the largest of the row; 1.0 is 2^31 */
} softmax_params;

/* As LiteRT: the output's scale is 1/256, its zero point -128. */
void softmax_int8(const int8_t *input, int8_t *output, const softmax_params *p);

#endif /* KERNELS_SOFTMAX_H */
