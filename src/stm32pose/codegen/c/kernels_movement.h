/* Bytes moved to other places, of elements of any type: slices, joins, transposes, pads, tiles. Written by stm32pose. */
#ifndef KERNELS_MOVEMENT_H
#define KERNELS_MOVEMENT_H

#include "kernels_common.h"

#define MOVE_DIMS 8

/* Loops around a run of bytes that lie together in the input and in the output. Steps and starts are bytes. */
typedef struct {
  int32_t run;
  int32_t dims; /* how many of the loops are used, outermost first */
  int32_t count[MOVE_DIMS];
  int32_t input_step[MOVE_DIMS];
  int32_t output_step[MOVE_DIMS];
  int32_t input_start;
  int32_t output_start;
  const uint8_t *values; /* copy_constant: the input */
  const uint8_t *table;  /* copy_mapped: what each of the 256 values of a byte becomes */
} copy_params;

/* Where the output lies before the input, they may overlap as far as no byte is overwritten that a later run reads. */
void copy_strided(const void *input, void *output, const copy_params *p);

/* As copy_strided, of a constant. */
void copy_constant(void *output, const copy_params *p);

/* As copy_strided, each byte replaced by its entry in a table. */
void copy_mapped(const void *input, void *output, const copy_params *p);

/* The output in order; a run of the input lies at the sum of one offset (bytes) from each loop's table. */
typedef struct {
  int32_t run;
  int32_t dims;
  int32_t count[MOVE_DIMS];
  const int32_t *offsets; /* the tables one after the other, outermost loop first, `count` entries each */
} copy_indexed_params;

void copy_indexed(const void *input, void *output, const copy_indexed_params *p);

/* The innermost loop is of bytes: `before` of them, then a run of the input, then `after`. */
typedef struct {
  int32_t dims; /* loops around it */
  int32_t before[MOVE_DIMS];
  int32_t inside[MOVE_DIMS];
  int32_t after[MOVE_DIMS];
  int32_t run_before;
  int32_t run;
  int32_t run_after;
  int32_t element;    /* bytes of the value below; 1 where all its bytes are the same */
  uint8_t pattern[8]; /* the value that is put around the input */
} pad_params;

void pad(const void *input, void *output, const pad_params *p);

#endif /* KERNELS_MOVEMENT_H */
