/* Images made larger or smaller, for Helium. Written by stm32pose. */
#ifndef KERNELS_RESIZE_MVE_H
#define KERNELS_RESIZE_MVE_H

#include "kernels_resize.h"

/* As those without _mve. */
void resize_bilinear_int8_mve(const int8_t *input, int8_t *output, const resize_bilinear_params *p);
void resize_double_int8_mve(const int8_t *input, int8_t *output, const resize_double_params *p);

#endif /* KERNELS_RESIZE_MVE_H */
