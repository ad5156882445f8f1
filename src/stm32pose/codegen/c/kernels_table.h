/* Operators of one 8-bit tensor whose result depends on the stored value alone. Written by stm32pose. */
#ifndef KERNELS_TABLE_H
#define KERNELS_TABLE_H

#include "kernels_common.h"

typedef struct {
  int32_t elements;
  const uint8_t *table; /* 256 results, in the order of the byte: 0 to 127, then -128 to -1 of int8 */
} table_params;

/* Every element replaced by its entry in the table. */
void table_int8_int8(const int8_t *input, int8_t *output, const table_params *p);
void table_int8_uint8(const int8_t *input, uint8_t *output, const table_params *p);
void table_uint8_int8(const uint8_t *input, int8_t *output, const table_params *p);
void table_uint8_uint8(const uint8_t *input, uint8_t *output, const table_params *p);

typedef struct {
  int32_t elements;
} flip_params;

/* uint8 to int8 or back where the real values stay the same: 128 less or more, which is the highest bit. */
void flip_int8(const int8_t *input, uint8_t *output, const flip_params *p);
void flip_uint8(const uint8_t *input, int8_t *output, const flip_params *p);

#endif /* KERNELS_TABLE_H */
