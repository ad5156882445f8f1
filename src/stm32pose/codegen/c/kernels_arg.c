/* Where along an axis the largest or smallest value is, the first of equals. Written by stm32pose. */
#include "kernels_arg.h"

static void store_index(uint8_t *to, int32_t index, int32_t bytes)
{
  if (bytes == 8) {
    const int64_t wide = index;
    memcpy(to, &wide, sizeof wide);
  } else {
    store_int32(to, index);
  }
}

void arg_byte(const void *input, void *output, const arg_params *p)
{
  const uint8_t *source = input;
  uint8_t *to = output;
  int32_t outer, inner, i;
  for (outer = 0; outer < p->outer; outer++) {
    for (inner = 0; inner < p->inner; inner++) {
      const uint8_t *from = source + inner;
      int32_t best = 0;
      int32_t value = *from ^ p->flip;
      for (i = 1; i < p->axis; i++) {
        int32_t other;
        from += p->inner;
        other = *from ^ p->flip;
        if (other > value) {
          value = other;
          best = i;
        }
      }
      store_index(to, best, p->output_bytes);
      to += p->output_bytes;
    }
    source += p->axis * p->inner;
  }
}

void arg_int32(const void *input, void *output, const arg_params *p)
{
  const uint8_t *source = input;
  uint8_t *to = output;
  int32_t outer, inner, i;
  for (outer = 0; outer < p->outer; outer++) {
    for (inner = 0; inner < p->inner; inner++) {
      const uint8_t *from = source + 4 * inner;
      int32_t best = 0;
      int32_t value = load_int32(from);
      for (i = 1; i < p->axis; i++) {
        int32_t other;
        from += 4 * p->inner;
        other = load_int32(from);
        if (p->smallest != 0 ? other < value : other > value) {
          value = other;
          best = i;
        }
      }
      store_index(to, best, p->output_bytes);
      to += p->output_bytes;
    }
    source += 4 * p->axis * p->inner;
  }
}

void arg_float32(const void *input, void *output, const arg_params *p)
{
  const uint8_t *source = input;
  uint8_t *to = output;
  int32_t outer, inner, i;
  for (outer = 0; outer < p->outer; outer++) {
    for (inner = 0; inner < p->inner; inner++) {
      const uint8_t *from = source + 4 * inner;
      int32_t best = 0;
      float value = load_float(from);
      for (i = 1; i < p->axis; i++) {
        float other;
        from += 4 * p->inner;
        other = load_float(from);
        if (p->smallest != 0 ? other < value : other > value) {
          value = other;
          best = i;
        }
      }
      store_index(to, best, p->output_bytes);
      to += p->output_bytes;
    }
    source += 4 * p->axis * p->inner;
  }
}
