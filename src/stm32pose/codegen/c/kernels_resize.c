/* Images made larger or smaller. Written by stm32pose. */
#include "kernels_resize.h"

#define BLOCK 16

/* As memcpy, and right also where `to` lies before `from` and reaches into it. */
static void move_pixel(uint8_t *to, const uint8_t *from, int32_t bytes)
{
  int32_t i = 0;
  for (; i + BLOCK <= bytes; i += BLOCK) {
    uint8_t block[BLOCK];
    memcpy(block, from + i, BLOCK);
    memcpy(to + i, block, BLOCK);
  }
  for (; i < bytes; i++) {
    to[i] = from[i];
  }
}

void resize_nearest(const void *input, void *output, const resize_nearest_params *p)
{
  const int32_t row_bytes = p->output_width * p->pixel;
  const uint8_t *from = (const uint8_t *)input;
  uint8_t *to = (uint8_t *)output;
  int32_t y;
  for (y = 0; y < p->output_height; y++) {
    if (y > 0 && p->rows[y] == p->rows[y - 1]) {
      move_pixel(to, to - row_bytes, row_bytes);
    } else {
      int32_t x;
      for (x = 0; x < p->output_width; x++) {
        move_pixel(to + x * p->pixel, from + p->rows[y] + p->columns[x], p->pixel);
      }
    }
    to += row_bytes;
  }
}

/* value / 2^20, halves away from zero. */
static inline int32_t round_weighted(int32_t value)
{
  return (value + (value >> 31) + ((int32_t)1 << 19)) >> 20;
}

void resize_bilinear_int8(const int8_t *input, int8_t *output, const resize_bilinear_params *p)
{
  const int32_t channels = p->channels;
  int32_t y;
  for (y = 0; y < p->output_height; y++) {
    const int8_t *upper = input + p->rows[3 * y];
    const int8_t *lower = input + p->rows[3 * y + 1];
    const int32_t down = p->rows[3 * y + 2];
    const int32_t *column = p->columns;
    int32_t x;
    for (x = 0; x < p->output_width; x++) {
      const int8_t *a = upper + column[0];
      const int8_t *b = upper + column[1];
      const int8_t *c = lower + column[0];
      const int8_t *d = lower + column[1];
      const int32_t weight_a = (1024 - down) * (1024 - column[2]);
      const int32_t weight_b = (1024 - down) * column[2];
      const int32_t weight_c = down * (1024 - column[2]);
      const int32_t weight_d = down * column[2];
      int32_t i;
      for (i = 0; i < channels; i++) {
        output[i] = (int8_t)round_weighted(a[i] * weight_a + b[i] * weight_b + c[i] * weight_c + d[i] * weight_d);
      }
      output += channels;
      column += 3;
    }
  }
}

void resize_bilinear_float(const int8_t *input, int8_t *output, const resize_bilinear_params *p)
{
  int32_t y;
  for (y = 0; y < p->output_height; y++) {
    const int8_t *upper = input + p->rows[3 * y];
    const int8_t *lower = input + p->rows[3 * y + 1];
    const float *row = p->row_weights + 2 * y;
    int32_t x;
    for (x = 0; x < p->output_width; x++) {
      const int32_t *place = p->columns + 3 * x;
      const float *column = p->column_weights + 2 * x;
      int32_t i;
      for (i = 0; i < p->channels; i++) {
        const float a = (float)(upper[place[0] + i] - p->input_zero) * p->input_scale;
        const float b = (float)(upper[place[1] + i] - p->input_zero) * p->input_scale;
        const float c = (float)(lower[place[0] + i] - p->input_zero) * p->input_scale;
        const float d = (float)(lower[place[1] + i] - p->input_zero) * p->input_scale;
        const float real =
          column[0] * row[0] * a + column[1] * row[0] * b + column[0] * row[1] * c + column[1] * row[1] * d;
        output[i] = (int8_t)clamp(round_even(real / p->output_scale) + p->output_zero, -128, 127);
      }
      output += p->channels;
    }
  }
}

static inline uint32_t load_word(const int8_t *from)
{
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline void store_word(int8_t *to, uint32_t word)
{
  memcpy(to, &word, sizeof word);
}

#define BYTES_IN_HALVES 0x0FF00FF0u
#define HALVES_BIAS 0x08070807u
#define SIGNS 0x80808080u

/* Bytes 0 and 2 of a word in the middle of two 16-bit halves: 16 times the value that 128 was added to, and 7 below. */
static inline uint32_t even_halves(uint32_t word)
{
  return ((word << 4) & BYTES_IN_HALVES) ^ HALVES_BIAS;
}

/* The same of bytes 1 and 3. */
static inline uint32_t odd_halves(uint32_t word)
{
  return ((word >> 4) & BYTES_IN_HALVES) ^ HALVES_BIAS;
}

/* Sums of 16 halves, each as above, have their whole number in the upper byte, with 7 of 16 added to it. Halves go away
 * from zero, which is 128: from there up one more is wanted (a little below 128 it makes no difference). */
static inline uint32_t rounded(uint32_t sums)
{
  return sums + ((sums >> 11) & 0x00100010u);
}

/* Four bytes, less the 128, from the sums of bytes 0 and 2 and of bytes 1 and 3. */
static inline uint32_t joined(uint32_t even, uint32_t odd)
{
  return (((rounded(even) >> 8) & 0x00FF00FFu) | (rounded(odd) & 0xFF00FF00u)) ^ SIGNS;
}

/* The four output pixels around the corner where input pixels a b / c d meet, 3 parts of one row or column to 1 of the
 * other. At an edge of the image `step` is 0 and not `channels`: the two pixels are one. */
static void resize_corner(const int8_t *upper, const int8_t *lower, int8_t *top, int8_t *bottom, int32_t step,
                          int32_t channels)
{
  const int8_t *end = upper + (channels & ~3);
  int32_t left = channels & 3;
  while (upper != end) {
    const uint32_t a = load_word(upper);
    const uint32_t b = load_word(upper + step);
    const uint32_t c = load_word(lower);
    const uint32_t d = load_word(lower + step);
    const uint32_t even_left = even_halves(a) + even_halves(c);
    const uint32_t even_right = even_halves(b) + even_halves(d);
    const uint32_t odd_left = odd_halves(a) + odd_halves(c);
    const uint32_t odd_right = odd_halves(b) + odd_halves(d);
    const uint32_t even_a = even_left + 2u * even_halves(a);
    const uint32_t even_b = even_right + 2u * even_halves(b);
    const uint32_t even_c = even_left + 2u * even_halves(c);
    const uint32_t even_d = even_right + 2u * even_halves(d);
    const uint32_t odd_a = odd_left + 2u * odd_halves(a);
    const uint32_t odd_b = odd_right + 2u * odd_halves(b);
    const uint32_t odd_c = odd_left + 2u * odd_halves(c);
    const uint32_t odd_d = odd_right + 2u * odd_halves(d);
    store_word(top, joined(even_a + even_b + 2u * even_a, odd_a + odd_b + 2u * odd_a));
    store_word(top + step, joined(even_a + even_b + 2u * even_b, odd_a + odd_b + 2u * odd_b));
    store_word(bottom, joined(even_c + even_d + 2u * even_c, odd_c + odd_d + 2u * odd_c));
    store_word(bottom + step, joined(even_c + even_d + 2u * even_d, odd_c + odd_d + 2u * odd_d));
    upper += 4;
    lower += 4;
    top += 4;
    bottom += 4;
  }
  for (; left > 0; left--) {
    const int32_t a = *upper;
    const int32_t b = upper[step];
    const int32_t c = *lower;
    const int32_t d = lower[step];
    *top = (int8_t)shift_right_rounded(9 * a + 3 * b + 3 * c + d, 4);
    top[step] = (int8_t)shift_right_rounded(3 * a + 9 * b + c + 3 * d, 4);
    *bottom = (int8_t)shift_right_rounded(3 * a + b + 9 * c + 3 * d, 4);
    bottom[step] = (int8_t)shift_right_rounded(a + 3 * b + 3 * c + 9 * d, 4);
    upper++;
    lower++;
    top++;
    bottom++;
  }
}

void resize_double_int8(const int8_t *input, int8_t *output, const resize_double_params *p)
{
  const int32_t channels = p->channels;
  const int32_t input_row = p->input_width * channels;
  const int32_t output_row = 2 * input_row;
  int32_t y;
  for (y = 0; y <= p->input_height; y++) {
    const int8_t *upper = input + (y > 0 ? y - 1 : 0) * input_row;
    const int8_t *lower = input + (y < p->input_height ? y : y - 1) * input_row;
    int8_t *top = output + (y > 0 ? 2 * y - 1 : 0) * output_row;
    int8_t *bottom = output + (y < p->input_height ? 2 * y : 2 * y - 1) * output_row;
    int32_t x;
    resize_corner(upper, lower, top, bottom, 0, channels);
    top += channels;
    bottom += channels;
    for (x = 1; x < p->input_width; x++) {
      resize_corner(upper, lower, top, bottom, channels, channels);
      upper += channels;
      lower += channels;
      top += 2 * channels;
      bottom += 2 * channels;
    }
    resize_corner(upper, lower, top, bottom, 0, channels);
  }
}
