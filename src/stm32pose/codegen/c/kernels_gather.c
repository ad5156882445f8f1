/* Slices picked by indices that are known only when the network runs. Written by stm32pose. */
#include "kernels_gather.h"

/* Index `place` of a table of int32 or int64, moved into 0..size - 1. */
static int32_t index_at(const uint8_t *indices, int32_t place, int32_t bytes, int32_t size)
{
  int32_t index;
  if (bytes == 8) {
    int64_t wide;
    memcpy(&wide, indices + 8 * place, sizeof wide);
    index = wide < 0 ? 0 : wide >= size ? size - 1 : (int32_t)wide;
  } else {
    index = clamp(load_int32(indices + 4 * place), 0, size - 1);
  }
  return index;
}

/* The usual sizes of one element without a call of memcpy. */
static void copy_run(uint8_t *to, const uint8_t *from, int32_t bytes)
{
  if (bytes == 1) {
    *to = *from;
  } else if (bytes == 4) {
    store_int32(to, load_int32(from));
  } else {
    memcpy(to, from, (size_t)bytes);
  }
}

void gather(const void *data, const void *indices, void *output, const gather_params *p)
{
  const uint8_t *source = data;
  const uint8_t *picks = indices;
  uint8_t *to = output;
  int32_t batch, outer, i;
  for (batch = 0; batch < p->batches; batch++) {
    for (outer = 0; outer < p->outer; outer++) {
      for (i = 0; i < p->indices; i++) {
        copy_run(to, source + index_at(picks, i, p->index_bytes, p->axis) * p->run, p->run);
        to += p->run;
      }
      source += p->axis * p->run;
    }
    picks += p->indices * p->index_bytes;
  }
}

void gather_constant(const void *indices, void *output, const gather_params *p)
{
  gather(p->values, indices, output, p);
}

void gather_nd(const void *data, const void *indices, void *output, const gather_nd_params *p)
{
  const uint8_t *source = data;
  const uint8_t *picks = indices;
  uint8_t *to = output;
  int32_t point, d;
  for (point = 0; point < p->points; point++) {
    int32_t from = 0;
    for (d = 0; d < p->depth; d++) {
      from += index_at(picks, d, p->index_bytes, p->size[d]) * p->step[d];
    }
    copy_run(to, source + from, p->run);
    picks += p->depth * p->index_bytes;
    to += p->run;
  }
}

void gather_nd_constant(const void *indices, void *output, const gather_nd_params *p)
{
  gather_nd(p->values, indices, output, p);
}
