/* Two int8 tensors, or one and a constant, element by element, with broadcasting. Written by stm32pose. */
#ifndef KERNELS_ELEMENTWISE_H
#define KERNELS_ELEMENTWISE_H

#include "kernels_common.h"

#define ELEMENTWISE_DIMS 4

/*
 * Loops over the output in order. An operand's step is 0 where it is broadcast. What is not named for an operator is
 * not used by it.
 */
typedef struct {
  int32_t length; /* innermost loop */
  int32_t step0;  /* of operand 0 in it: 0 or 1 */
  int32_t step1;
  int32_t count[ELEMENTWISE_DIMS]; /* loops around it, outermost first */
  int32_t steps0[ELEMENTWISE_DIMS];
  int32_t steps1[ELEMENTWISE_DIMS];
  const int8_t *constant; /* the operand that is no tensor */
  int32_t low;            /* the output's bounds */
  int32_t high;
  /* sum, squared difference: factor * operand 0 + table[operand 1]; by its byte */
  int32_t factor;
  const int32_t *table;
  /* product, PRELU: (operand 0 - zero0) * (operand 1 - zero1) */
  int32_t zero0;
  int32_t zero1;
  int32_t zero; /* the output's */
  int32_t multiplier;
  int32_t shift;
  int32_t multiplier_positive; /* PRELU: where operand 0 is not below zero0 */
  int32_t shift_positive;
  /* float rules: what the 256 bytes of each operand are worth */
  const float *values0;
  const float *values1;
  float scale; /* of the output */
  int32_t operation;
} elementwise_params;

enum { FLOAT_ADD = 0, FLOAT_SUB = 1, FLOAT_MUL = 2, FLOAT_DIV = 3, FLOAT_MAXIMUM = 4, FLOAT_MINIMUM = 5,
       FLOAT_SQUARED_DIFFERENCE = 6, FLOAT_PRELU = 7 };

/* Sum or difference as LiteRT rounds it. Operand 0 is the one with the larger scale. */
void add_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void add_int8_constant0(const int8_t *input1, int8_t *output, const elementwise_params *p);
void add_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);

void mul_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void mul_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);

/* Operands as for the sum. */
void squared_difference_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void squared_difference_int8_constant0(const int8_t *input1, int8_t *output, const elementwise_params *p);
void squared_difference_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);

/* The scales of both operands and of the output are the same. */
void maximum_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void maximum_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);
void minimum_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void minimum_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);

/* Operand 1 is the slope below zero. */
void prelu_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void prelu_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);

/* As ONNX Runtime: both operands in float, `operation`, then the nearest step of the output, halves to even. */
void elementwise_float(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p);
void elementwise_float_constant0(const int8_t *input1, int8_t *output, const elementwise_params *p);
void elementwise_float_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p);

#endif /* KERNELS_ELEMENTWISE_H */
