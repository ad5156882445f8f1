/* Sums and products of two int8 tensors of one shape for Helium. Written by stm32pose. */
#ifndef KERNELS_ELEMENTWISE_MVE_H
#define KERNELS_ELEMENTWISE_MVE_H

#include "kernels_elementwise.h"

/* As those without _mve, of one loop of `length` in which both operands run along; shift <= 0. */
void add_int8_mve(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void mul_int8_mve(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);

#endif /* KERNELS_ELEMENTWISE_MVE_H */
