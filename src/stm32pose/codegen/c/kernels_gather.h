/* Slices picked by indices that are known only when the network runs. Written by stm32pose.

   An index outside the data is an error in LiteRT; here it is moved to the nearest end, so that nothing outside is read. */
#ifndef KERNELS_GATHER_H
#define KERNELS_GATHER_H

#include "kernels_common.h"

#define GATHER_DIMS 8

/* The data is [batches][outer][axis][run bytes], the indices [batches][indices], the output
   [batches][outer][indices][run bytes]. */
typedef struct {
  int32_t batches;
  int32_t outer;
  int32_t axis;
  int32_t indices;
  int32_t run;
  int32_t index_bytes;   /* 4 or 8 */
  const uint8_t *values; /* gather_constant: the data */
} gather_params;

void gather(const void *data, const void *indices, void *output, const gather_params *p);

/* As `gather`, of constant data. */
void gather_constant(const void *indices, void *output, const gather_params *p);

/* The indices are [points][depth]: each row picks the `run` bytes at the sum of index * step over its dimensions. */
typedef struct {
  int32_t points;
  int32_t depth;
  int32_t size[GATHER_DIMS];
  int32_t step[GATHER_DIMS]; /* bytes */
  int32_t run;
  int32_t index_bytes;
  const uint8_t *values;
} gather_nd_params;

void gather_nd(const void *data, const void *indices, void *output, const gather_nd_params *p);

/* As gather_nd, of constant data. */
void gather_nd_constant(const void *indices, void *output, const gather_nd_params *p);

#endif /* KERNELS_GATHER_H */
