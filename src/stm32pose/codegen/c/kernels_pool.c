/* Pools of an int8 tensor [rows, columns, channels]. Written by stm32pose. */
#include "kernels_pool.h"

#include "kernels_reduce.h"

/* The part of a window that lies inside the input. */
typedef struct {
  const int8_t *first;
  int32_t rows;
  int32_t columns;
  int32_t row_step;
  int32_t column_step;
} window_t;

typedef void pixel_function(const window_t *window, int8_t *output, const pool_params *p);

/* First row or column and the number of them, of a window that begins at `start`, clipped to the input. */
static int32_t clip(int32_t start, int32_t kernel, int32_t size, int32_t *count)
{
  const int32_t from = start < 0 ? 0 : start;
  const int32_t to = start + kernel < size ? start + kernel : size;
  *count = to > from ? to - from : 0;
  return from;
}

static void for_each_pixel(const int8_t *input, int8_t *output, const pool_params *p, pixel_function *pixel)
{
  window_t window;
  int32_t y;
  window.column_step = p->channels;
  window.row_step = p->input_width * p->channels;
  for (y = 0; y < p->output_height; y++) {
    const int32_t row = clip(y * p->stride_height - p->pad_top, p->kernel_height, p->input_height, &window.rows);
    int32_t x;
    for (x = 0; x < p->output_width; x++) {
      const int32_t column = clip(x * p->stride_width - p->pad_left, p->kernel_width, p->input_width, &window.columns);
      window.first = input + row * window.row_step + column * window.column_step;
      pixel(&window, output, p);
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

/* The larger of each of four signed bytes. */
static inline uint32_t larger_bytes(uint32_t a, uint32_t b)
{
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
  uint32_t larger;
  __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(larger) : "r"(a), "r"(b) : "cc");
  return larger;
#else
  uint32_t larger = 0;
  int32_t lane;
  for (lane = 0; lane < 32; lane += 8) {
    const int32_t left = (int8_t)(uint8_t)(a >> lane);
    const int32_t right = (int8_t)(uint8_t)(b >> lane);
    larger |= (uint32_t)(uint8_t)(left > right ? left : right) << lane;
  }
  return larger;
#endif
}

/* Bounds, and the table where there is one. */
static inline void finish_maximum(int8_t *output, int32_t channels, const pool_params *p)
{
  int32_t i;
  if (p->table != NULL) {
    for (i = 0; i < channels; i++) {
      output[i] = p->table[(uint8_t)output[i]];
    }
  }
  if (p->low > -128 || p->high < 127) {
    for (i = 0; i < channels; i++) {
      output[i] = (int8_t)clamp(output[i], p->low, p->high);
    }
  }
}

static void max_pixel(const window_t *window, int8_t *output, const pool_params *p)
{
  const int32_t column_step = window->column_step;
  const int32_t columns = window->columns;
  int32_t channel = 0;
  for (; channel + 8 <= p->channels; channel += 8) {
    uint32_t first = 0x80808080u;
    uint32_t second = 0x80808080u;
    const int8_t *row = window->first + channel;
    int32_t rows = window->rows;
    while (rows > 0) {
      const int8_t *from = row;
      int32_t left = columns;
      while (left > 0) {
        first = larger_bytes(first, load_word(from));
        second = larger_bytes(second, load_word(from + 4));
        from += column_step;
        left--;
      }
      row += window->row_step;
      rows--;
    }
    store_word(output + channel, first);
    store_word(output + channel + 4, second);
  }
  for (; channel < p->channels; channel++) {
    int32_t largest = -128;
    int32_t row;
    for (row = 0; row < window->rows; row++) {
      const int8_t *from = window->first + row * window->row_step + channel;
      int32_t column;
      for (column = 0; column < columns; column++) {
        largest = *from > largest ? *from : largest;
        from += column_step;
      }
    }
    output[channel] = (int8_t)largest;
  }
  finish_maximum(output, p->channels, p);
}

void max_pool_int8(const int8_t *input, int8_t *output, const pool_params *p)
{
  for_each_pixel(input, output, p, max_pixel);
}

/* sum / count, halves away from zero. */
static inline int32_t average(int32_t sum, int32_t count, int32_t half)
{
  return (sum > 0 ? sum + half : sum - half) / count;
}

/* Sums of up to four channels that lie together; the number of them. */
static int32_t sum_channels(const window_t *window, int32_t channel, int32_t channels, int32_t *sums)
{
  const int8_t *first = window->first + channel;
  int32_t row;
  memset(sums, 0, 4 * sizeof *sums);
  if (channels - channel >= 4) {
    add_window(first, window->rows, window->columns, window->row_step, window->column_step, sums);
    return 4;
  }
  for (row = 0; row < window->rows; row++) {
    int32_t column;
    for (column = 0; column < window->columns; column++) {
      sums[0] += first[row * window->row_step + column * window->column_step];
    }
  }
  return 1;
}

static void average_pixel(const window_t *window, int8_t *output, const pool_params *p)
{
  const int32_t count = window->rows * window->columns;
  const int32_t half = count / 2;
  const int32_t low = p->low;
  const int32_t high = p->high;
  int32_t channel = 0;
  while (channel < p->channels) {
    int32_t sums[4];
    const int32_t made = sum_channels(window, channel, p->channels, sums);
    int32_t i;
    for (i = 0; i < made; i++) {
      output[channel + i] = (int8_t)clamp(average(sums[i], count, half), low, high);
    }
    channel += made;
  }
}

void average_pool_int8(const int8_t *input, int8_t *output, const pool_params *p)
{
  for_each_pixel(input, output, p, average_pixel);
}

static void average_pixel_float(const window_t *window, int8_t *output, const pool_params *p)
{
  const int32_t elements = window->rows * window->columns;
  const float count = (float)(p->count != 0 ? p->count : elements);
  int32_t channel = 0;
  while (channel < p->channels) {
    int32_t sums[4];
    const int32_t made = sum_channels(window, channel, p->channels, sums);
    int32_t i;
    for (i = 0; i < made; i++) {
      const float real = (float)(sums[i] - elements * p->input_zero) * p->input_scale;
      const int32_t steps = round_even(real / count / p->output_scale);
      output[channel + i] = (int8_t)clamp(steps + p->output_zero, p->low, p->high);
    }
    channel += made;
  }
}

void average_pool_float(const int8_t *input, int8_t *output, const pool_params *p)
{
  for_each_pixel(input, output, p, average_pixel_float);
}
