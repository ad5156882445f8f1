/* Sums, means and extremes over any axes of an int8 tensor. Written by stm32pose. */
#include "kernels_reduce.h"

#define GROUP 4

/* Sums of GROUP outputs next to each other in the input too, or of one. */
static void sum_group(const int8_t *first, int32_t group, const reduce_params *p, int32_t *sums)
{
  int32_t i0;
  memset(sums, 0, GROUP * sizeof *sums);
  for (i0 = 0; i0 < p->reduced[0]; i0++) {
    const int8_t *from = first + i0 * p->reduced_steps[0];
    if (group == GROUP) {
      add_window(from, p->reduced[1], p->reduced[2], p->reduced_steps[1], p->reduced_steps[2], sums);
    } else {
      int32_t i1;
      for (i1 = 0; i1 < p->reduced[1]; i1++) {
        const int8_t *element = from + i1 * p->reduced_steps[1];
        int32_t i2;
        for (i2 = 0; i2 < p->reduced[2]; i2++) {
          sums[0] += *element;
          element += p->reduced_steps[2];
        }
      }
    }
  }
}

/* The largest or the smallest of a group of one. */
static int32_t extreme_of(const int8_t *first, const reduce_params *p)
{
  int32_t found = *first;
  int32_t i0;
  int32_t i1;
  int32_t i2;
  for (i0 = 0; i0 < p->reduced[0]; i0++) {
    for (i1 = 0; i1 < p->reduced[1]; i1++) {
      const int8_t *from = first + i0 * p->reduced_steps[0] + i1 * p->reduced_steps[1];
      for (i2 = 0; i2 < p->reduced[2]; i2++) {
        const int32_t value = *from;
        if (p->largest != 0 ? value > found : value < found) {
          found = value;
        }
        from += p->reduced_steps[2];
      }
    }
  }
  return found;
}

typedef enum { FIXED_POINT, FLOAT, EXTREME } rule_t;

static int32_t finish(int32_t sum, const reduce_params *p, rule_t rule)
{
  int32_t steps;
  if (rule == FIXED_POINT) {
    steps = scale_by(sum + p->offset, p->multiplier, p->shift);
  } else {
    const float real = (float)(sum + p->offset) * p->input_scale;
    steps = round_even(real / p->count / p->output_scale);
  }
  return clamp(steps + p->zero, -128, 127);
}

static void reduce(const int8_t *input, int8_t *output, const reduce_params *p, rule_t rule)
{
  int32_t i0;
  int32_t i1;
  for (i0 = 0; i0 < p->kept[0]; i0++) {
    for (i1 = 0; i1 < p->kept[1]; i1++) {
      const int8_t *first = input + i0 * p->kept_steps[0] + i1 * p->kept_steps[1];
      int32_t i2 = 0;
      while (i2 < p->kept[2]) {
        const int32_t group = rule != EXTREME && p->kept_steps[2] == 1 && p->kept[2] - i2 >= GROUP ? GROUP : 1;
        const int8_t *from = first + i2 * p->kept_steps[2];
        int32_t sums[GROUP];
        int32_t i;
        if (rule == EXTREME) {
          output[0] = (int8_t)extreme_of(from, p);
        } else {
          sum_group(from, group, p, sums);
          for (i = 0; i < group; i++) {
            output[i] = (int8_t)finish(sums[i], p, rule);
          }
        }
        output += group;
        i2 += group;
      }
    }
  }
}

void reduce_int8(const int8_t *input, int8_t *output, const reduce_params *p)
{
  reduce(input, output, p, FIXED_POINT);
}

void reduce_float(const int8_t *input, int8_t *output, const reduce_params *p)
{
  reduce(input, output, p, FLOAT);
}

void extreme_int8(const int8_t *input, int8_t *output, const reduce_params *p)
{
  reduce(input, output, p, EXTREME);
}
