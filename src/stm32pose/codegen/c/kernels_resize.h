/* Images made larger or smaller. Written by stm32pose. */
#ifndef KERNELS_RESIZE_H
#define KERNELS_RESIZE_H

#include "kernels_common.h"

typedef struct {
  int32_t pixel; /* bytes of one: channels, times the size of an element */
  int32_t output_height;
  int32_t output_width;
  const int32_t *rows;    /* offset (bytes) of the input row of each output row */
  const int32_t *columns; /* offset (bytes) in a row of the input pixel of each output column */
} resize_nearest_params;

void resize_nearest(const void *input, void *output, const resize_nearest_params *p);

typedef struct {
  int32_t channels;
  int32_t output_height;
  int32_t output_width;
  /* For each output row: offsets of the two input rows, weight of the second of 1024 (that of the first is the rest).
   * The same for each output column, offsets in a row. */
  const int32_t *rows;
  const int32_t *columns;
  /* resize_bilinear_float: for each output row and column the weights of both, instead */
  const float *row_weights;
  const float *column_weights;
  int32_t input_zero;
  int32_t output_zero;
  float input_scale;
  float output_scale;
} resize_bilinear_params;

/* As LiteRT: in whole numbers, halves away from zero. Input and output have the same scale. */
void resize_bilinear_int8(const int8_t *input, int8_t *output, const resize_bilinear_params *p);

/* As ONNX Runtime: in float. */
void resize_bilinear_float(const int8_t *input, int8_t *output, const resize_bilinear_params *p);

typedef struct {
  int32_t input_height;
  int32_t input_width;
  int32_t channels;
} resize_double_params;

/* resize_bilinear_int8 to twice the rows and columns with half-pixel centres: weights 9, 3, 3, 1 of 16. */
void resize_double_int8(const int8_t *input, int8_t *output, const resize_double_params *p);

#endif /* KERNELS_RESIZE_H */
