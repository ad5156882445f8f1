/* Where along an axis the largest or smallest value is, the first of equals. Written by stm32pose. */
#ifndef KERNELS_ARG_H
#define KERNELS_ARG_H

#include "kernels_common.h"

/* The input is [outer][axis][inner]; the output [outer][inner], int32 or int64. */
typedef struct {
  int32_t outer;
  int32_t axis;
  int32_t inner;
  int32_t smallest;     /* arg_int32, arg_float32: 1: the smallest value, 0: the largest */
  int32_t flip;         /* arg_byte: bits turned so that the value looked for is the largest unsigned one */
  int32_t output_bytes; /* of one index: 4 or 8 */
} arg_params;

/* int8, uint8 and bool */
void arg_byte(const void *input, void *output, const arg_params *p);
void arg_int32(const void *input, void *output, const arg_params *p);

/* Not a number is neither larger nor smaller than anything. */
void arg_float32(const void *input, void *output, const arg_params *p);

#endif /* KERNELS_ARG_H */
