/* Means of an int8 tensor for Helium. Written by stm32pose. */
#ifndef KERNELS_REDUCE_MVE_H
#define KERNELS_REDUCE_MVE_H

#include "kernels_reduce.h"

/* As reduce_int8, where outputs that follow each other do so in the input too (kept_steps[2] is 1), shift <= 0. Four
   outputs at a time, or those that are left, are read before they are written. */
void reduce_int8_mve(const int8_t *input, int8_t *output, const reduce_params *p);

#endif /* KERNELS_REDUCE_MVE_H */
