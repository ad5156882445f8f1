/* float32 and int32 tensors: conversion, quantization, arithmetic. Written by stm32pose. */
#ifndef KERNELS_FLOAT_H
#define KERNELS_FLOAT_H

#include "kernels_common.h"

typedef struct {
  int32_t elements;
  float scale;
  int32_t zero;
} quantize_params;

/* To the nearest step; halves away from zero, or to even for ONNX. */
void quantize_int8(const void *input, int8_t *output, const quantize_params *p);
void quantize_uint8(const void *input, uint8_t *output, const quantize_params *p);

void dequantize_int8(const int8_t *input, void *output, const quantize_params *p);
void dequantize_uint8(const uint8_t *input, void *output, const quantize_params *p);

typedef struct {
  int32_t elements;
  int32_t from; /* TYPE_... */
  int32_t to;
} cast_params;

enum { TYPE_INT8 = 0, TYPE_UINT8 = 1, TYPE_INT32 = 2, TYPE_INT64 = 3, TYPE_FLOAT32 = 4, TYPE_BOOL = 5 };

/* Numbers of one type as numbers of another. Floats lose what is behind the point; what is too large wraps around, from
 * a float it becomes the largest there is. */
void cast(const void *input, void *output, const cast_params *p);
void cast_int8(const int8_t *input, void *output, const cast_params *p);
void cast_uint8(const uint8_t *input, void *output, const cast_params *p);
void cast_to_int8(const void *input, int8_t *output, const cast_params *p);
void cast_to_uint8(const void *input, uint8_t *output, const cast_params *p);

#define ARITHMETIC_DIMS 4

/* Loops over the output in order. An operand's step, in elements, is 0 where it is broadcast. */
typedef struct {
  int32_t operation; /* OPERATION_... */
  int32_t length;    /* innermost loop */
  int32_t step0;     /* of operand 0 in it: 0 or 1 */
  int32_t step1;
  int32_t count[ARITHMETIC_DIMS]; /* loops around it, outermost first */
  int32_t steps0[ARITHMETIC_DIMS];
  int32_t steps1[ARITHMETIC_DIMS];
  const float *constant; /* the operand that is no tensor */
  const int32_t *whole;  /* the same of the int32 kernels */
  float low;             /* bounds of a fused activation */
  float high;
  int32_t bounded; /* whether there are any */
  int32_t whole_low;
  int32_t whole_high;
} arithmetic_params;

enum { OPERATION_ADD = 0, OPERATION_SUB = 1, OPERATION_MUL = 2, OPERATION_DIV = 3, OPERATION_MAXIMUM = 4,
       OPERATION_MINIMUM = 5, OPERATION_SQUARED_DIFFERENCE = 6, OPERATION_FLOOR_DIV = 7 };

void arithmetic_float32(const void *input0, const void *input1, void *output, const arithmetic_params *p);
void arithmetic_float32_constant0(const void *input1, void *output, const arithmetic_params *p);
void arithmetic_float32_constant1(const void *input0, void *output, const arithmetic_params *p);

/* Sums that do not fit wrap around. A quotient by 0 is 0. */
void arithmetic_int32(const void *input0, const void *input1, void *output, const arithmetic_params *p);
void arithmetic_int32_constant0(const void *input1, void *output, const arithmetic_params *p);
void arithmetic_int32_constant1(const void *input0, void *output, const arithmetic_params *p);

typedef struct {
  int32_t elements;
  int32_t operation; /* UNARY_... */
} unary_params;

enum { UNARY_SQRT = 0, UNARY_RSQRT = 1, UNARY_ABS = 2, UNARY_NEG = 3, UNARY_SQUARE = 4, UNARY_RELU = 5,
       UNARY_RELU6 = 6, UNARY_RELU_N1_TO_1 = 7, UNARY_FLOOR = 8 };

/* Every result is the nearest float there is. */
void unary_float32(const void *input, void *output, const unary_params *p);

#endif /* KERNELS_FLOAT_H */
