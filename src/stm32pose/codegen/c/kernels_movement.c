/* Bytes moved to other places, of elements of any type: slices, joins, transposes, pads, tiles. Written by stm32pose. */
#include "kernels_movement.h"

#define BLOCK 16

/* As memcpy, and right also where `to` lies before `from` and reaches into it. */
static void move_run(uint8_t *to, const uint8_t *from, int32_t bytes)
{
  const uintptr_t ahead = (uintptr_t)from - (uintptr_t)to;
  const uintptr_t size = (uintptr_t)bytes;
  int32_t i = 0;
  if (ahead >= size && (uintptr_t)0 - ahead >= size) {
    memcpy(to, from, (size_t)bytes);
  } else if (ahead != 0u) {
    for (; i + BLOCK <= bytes; i += BLOCK) {
      uint8_t block[BLOCK];
      memcpy(block, from + i, BLOCK);
      memcpy(to + i, block, BLOCK);
    }
    for (; i < bytes; i++) {
      to[i] = from[i];
    }
  }
}

/* The next place of loops that count up to `count`, innermost fastest: indices and both offsets are stepped. */
static void step(const copy_params *p, int32_t dims, int32_t *index, int32_t *from, int32_t *to)
{
  int32_t d = dims - 1;
  int32_t carry = 1;
  while (carry != 0 && d >= 0) {
    index[d]++;
    *from += p->input_step[d];
    *to += p->output_step[d];
    if (index[d] < p->count[d]) {
      carry = 0;
    } else {
      *from -= p->count[d] * p->input_step[d];
      *to -= p->count[d] * p->output_step[d];
      index[d] = 0;
      d--;
    }
  }
}

static int32_t product(const int32_t *count, int32_t dims)
{
  int32_t total = 1;
  int32_t d;
  for (d = 0; d < dims; d++) {
    total *= count[d];
  }
  return total;
}

/* The innermost loop: `count` runs. The usual sizes of one element have a loop of their own. */
static void copy_line(const uint8_t *input, uint8_t *output, const copy_params *p, int32_t from, int32_t to)
{
  const int32_t last = p->dims - 1;
  const int32_t count = p->count[last];
  const int32_t from_step = p->input_step[last];
  const int32_t to_step = p->output_step[last];
  int32_t i;
  if (p->run == 1) {
    for (i = 0; i < count; i++) {
      output[to + i * to_step] = input[from + i * from_step];
    }
  } else if (p->run == 4) {
    for (i = 0; i < count; i++) {
      store_int32(output + to + i * to_step, load_int32(input + from + i * from_step));
    }
  } else if (p->run < BLOCK) {
    for (i = 0; i < count; i++) {
      int32_t j;
      for (j = 0; j < p->run; j++) {
        output[to + i * to_step + j] = input[from + i * from_step + j];
      }
    }
  } else {
    for (i = 0; i < count; i++) {
      move_run(output + to + i * to_step, input + from + i * from_step, p->run);
    }
  }
}

void copy_strided(const void *input, void *output, const copy_params *p)
{
  int32_t index[MOVE_DIMS] = {0};
  int32_t from = p->input_start;
  int32_t to = p->output_start;
  if (p->dims == 0) {
    move_run((uint8_t *)output + to, (const uint8_t *)input + from, p->run);
  } else {
    const int32_t lines = product(p->count, p->dims - 1);
    int32_t i;
    for (i = 0; i < lines; i++) {
      copy_line(input, output, p, from, to);
      step(p, p->dims - 1, index, &from, &to);
    }
  }
}

void copy_constant(void *output, const copy_params *p)
{
  copy_strided(p->values, output, p);
}

void copy_mapped(const void *input, void *output, const copy_params *p)
{
  const uint8_t *source = input;
  uint8_t *target = output;
  const int32_t runs = product(p->count, p->dims);
  int32_t index[MOVE_DIMS] = {0};
  int32_t from = p->input_start;
  int32_t to = p->output_start;
  int32_t i, j;
  for (i = 0; i < runs; i++) {
    for (j = 0; j < p->run; j++) {
      target[to + j] = p->table[source[from + j]];
    }
    step(p, p->dims, index, &from, &to);
  }
}

void copy_indexed(const void *input, void *output, const copy_indexed_params *p)
{
  const uint8_t *source = input;
  uint8_t *target = output;
  const int32_t outer = p->dims - 1;
  const int32_t lines = product(p->count, outer);
  const int32_t *inner;
  int32_t index[MOVE_DIMS] = {0};
  int32_t line, i, d;
  inner = p->offsets;
  for (d = 0; d < outer; d++) {
    inner += p->count[d];
  }
  for (line = 0; line < lines; line++) {
    const int32_t *table = p->offsets;
    int32_t start = 0;
    for (d = 0; d < outer; d++) {
      start += table[index[d]];
      table += p->count[d];
    }
    for (i = 0; i < p->count[outer]; i++) {
      const uint8_t *from = source + start + inner[i];
      if (p->run == 1) {
        *target = *from;
      } else if (p->run == 4) {
        store_int32(target, load_int32(from));
      } else {
        move_run(target, from, p->run);
      }
      target += p->run;
    }
    d = outer - 1;
    while (d >= 0 && ++index[d] == p->count[d]) {
      index[d] = 0;
      d--;
    }
  }
}

static void fill(uint8_t *to, int32_t bytes, const pad_params *p)
{
  if (p->element == 1) {
    memset(to, p->pattern[0], (size_t)bytes);
  } else {
    int32_t i, j;
    for (i = 0; i < bytes; i += p->element) {
      for (j = 0; j < p->element; j++) {
        to[i + j] = p->pattern[j];
      }
    }
  }
}

void pad(const void *input, void *output, const pad_params *p)
{
  const uint8_t *from = input;
  uint8_t *to = output;
  const int32_t line = p->run_before + p->run + p->run_after;
  int32_t index[MOVE_DIMS] = {0};
  int32_t lines = 1;
  int32_t i, d;
  for (d = 0; d < p->dims; d++) {
    lines *= p->before[d] + p->inside[d] + p->after[d];
  }
  for (i = 0; i < lines; i++) {
    int32_t inside = 1;
    for (d = 0; d < p->dims; d++) {
      if (index[d] < p->before[d] || index[d] >= p->before[d] + p->inside[d]) {
        inside = 0;
      }
    }
    if (inside != 0) {
      fill(to, p->run_before, p);
      move_run(to + p->run_before, from, p->run);
      fill(to + p->run_before + p->run, p->run_after, p);
      from += p->run;
    } else {
      fill(to, line, p);
    }
    to += line;
    d = p->dims - 1;
    while (d >= 0 && ++index[d] == p->before[d] + p->inside[d] + p->after[d]) {
      index[d] = 0;
      d--;
    }
  }
}
