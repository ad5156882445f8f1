/* Operators of one 8-bit tensor whose result depends on the stored value alone. Written by stm32pose. */
#include "kernels_table.h"

static inline uint32_t load_word(const uint8_t *from)
{
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline void store_word(uint8_t *to, uint32_t word)
{
  memcpy(to, &word, sizeof word);
}

/* Eight at a time, read before they are written: the output may begin at the input or before it. */
static void look_up(const uint8_t *input, uint8_t *output, const table_params *p)
{
  const uint8_t *table = p->table;
  const uint8_t *end = input + (p->elements & ~7);
  int32_t rest = p->elements & 7;
  while (input != end) {
    const uint32_t first = load_word(input);
    const uint32_t second = load_word(input + 4);
    input += 8;
    output[0] = table[first & 0xFFu];
    output[1] = table[(first >> 8) & 0xFFu];
    output[2] = table[(first >> 16) & 0xFFu];
    output[3] = table[first >> 24];
    output[4] = table[second & 0xFFu];
    output[5] = table[(second >> 8) & 0xFFu];
    output[6] = table[(second >> 16) & 0xFFu];
    output[7] = table[second >> 24];
    output += 8;
  }
  while (rest > 0) {
    *output = table[*input];
    input++;
    output++;
    rest--;
  }
}

void table_int8_int8(const int8_t *input, int8_t *output, const table_params *p)
{
  look_up((const uint8_t *)input, (uint8_t *)output, p);
}

void table_int8_uint8(const int8_t *input, uint8_t *output, const table_params *p)
{
  look_up((const uint8_t *)input, output, p);
}

void table_uint8_int8(const uint8_t *input, int8_t *output, const table_params *p)
{
  look_up(input, (uint8_t *)output, p);
}

void table_uint8_uint8(const uint8_t *input, uint8_t *output, const table_params *p)
{
  look_up(input, output, p);
}

static void flip(const uint8_t *input, uint8_t *output, int32_t elements)
{
  const uint8_t *end = input + (elements & ~15);
  int32_t rest = elements & 15;
  while (input != end) {
    const uint32_t first = load_word(input);
    const uint32_t second = load_word(input + 4);
    const uint32_t third = load_word(input + 8);
    const uint32_t fourth = load_word(input + 12);
    store_word(output, first ^ 0x80808080u);
    store_word(output + 4, second ^ 0x80808080u);
    store_word(output + 8, third ^ 0x80808080u);
    store_word(output + 12, fourth ^ 0x80808080u);
    input += 16;
    output += 16;
  }
  while (rest > 0) {
    *output = *input ^ 0x80u;
    input++;
    output++;
    rest--;
  }
}

void flip_int8(const int8_t *input, uint8_t *output, const flip_params *p)
{
  flip((const uint8_t *)input, output, p->elements);
}

void flip_uint8(const uint8_t *input, int8_t *output, const flip_params *p)
{
  flip(input, (uint8_t *)output, p->elements);
}
