/* Pools of an int8 tensor for Helium. Written by stm32pose. */
#ifndef KERNELS_POOL_MVE_H
#define KERNELS_POOL_MVE_H

#include "kernels_pool.h"

/* As max_pool_int8, without a table. Pixel by pixel, 16 channels at a time. */
void max_pool_int8_mve(const int8_t *input, int8_t *output, const pool_params *p);

#endif /* KERNELS_POOL_MVE_H */
