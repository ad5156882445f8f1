#include "kernels_depthwise_mve.h"

#include "kernels_mve.h"

/* The part [first, end) of a kernel's taps that lies inside the input. */
typedef struct {
  int32_t first;
  int32_t end;
} taps_t;

static taps_t inside(int32_t start, int32_t dilation, int32_t kernel, int32_t size)
{
  taps_t taps = {0, kernel};
  while ((taps.first < kernel) && (start + taps.first * dilation < 0)) {
    taps.first++;
  }
  while ((taps.end > taps.first) && (start + (taps.end - 1) * dilation >= size)) {
    taps.end--;
  }
  return taps;
}

/* The window of an output pixel. */
typedef struct {
  const int8_t *first; /* input pixel of the first tap that lies inside */
  const int8_t *weights;
  int32_t rows; /* taps inside */
  int32_t columns;
} window_t;

/* Four channels from their sums. */
MVE_INLINE void finish_4(int8_t *output, int32x4_t sums, int32_t at, mve_pred16_t lanes, const depthwise_mve_params *p)
{
  int32x4_t made = vaddq_s32(sums, vldrwq_z_s32(p->bias + at, lanes));
  made = vaddq_n_s32(mve_requantize_channels(made, p->multiplier, p->shift, at, lanes), p->output_zero);
  made = vminq_s32(vmaxq_s32(made, vdupq_n_s32(p->activation_min)), vdupq_n_s32(p->activation_max));
  vstrbq_p_s32(output + at, made, lanes);
}

/* Eight channels of a pixel from `at` on, or those that are there. whole: a constant, whether all are. */
MVE_INLINE void make_8(const window_t *window, int8_t *output, int32_t at, bool whole, const depthwise_mve_params *p)
{
  const int32_t channels = p->channels;
  const int32_t row_step = p->dilation_height * p->input_width * channels;
  const int32_t column_step = p->dilation_width * channels;
  const int32_t kernel_step = p->kernel_width * channels;
  const mve_pred16_t lanes = vctp16q((uint32_t)(channels - at));
  const int16_t zero = (int16_t)p->input_zero;
  const int8_t *row_from = window->first + at;
  const int8_t *row_weights = window->weights + at;
  int32x4_t even = vdupq_n_s32(0);
  int32x4_t odd = even;
  for (int32_t rows = window->rows; rows > 0; rows--) {
    const int8_t *from = row_from;
    const int8_t *weights = row_weights;
    for (int32_t columns = window->columns; columns > 0; columns--) {
      const int16x8_t x = vsubq_n_s16(whole ? vldrbq_s16(from) : vldrbq_z_s16(from, lanes), zero);
      const int16x8_t w = whole ? vldrbq_s16(weights) : vldrbq_z_s16(weights, lanes);
      even = vaddq_s32(even, vmullbq_int_s16(x, w));
      odd = vaddq_s32(odd, vmulltq_int_s16(x, w));
      from += column_step;
      weights += channels;
    }
    row_from += row_step;
    row_weights += kernel_step;
  }
  /* Even and odd channels to the first and the last four. */
  int32_t sums[8];
  const uint32x4_t pairs = vidupq_n_u32(0, 2);
  vstrwq_scatter_shifted_offset_s32(sums, pairs, even);
  vstrwq_scatter_shifted_offset_s32(sums + 1, pairs, odd);
  finish_4(output, vldrwq_s32(sums), at, vctp32q((uint32_t)(channels - at)), p);
  if (channels - at > 4) {
    finish_4(output, vldrwq_s32(sums + 4), at + 4, vctp32q((uint32_t)(channels - at - 4)), p);
  }
}

static void make_pixel(const window_t *window, int8_t *output, const depthwise_mve_params *p)
{
  int32_t at = 0;
  for (; at + 8 <= p->channels; at += 8) {
    make_8(window, output, at, true, p);
  }
  if (at < p->channels) {
    make_8(window, output, at, false, p);
  }
}

void depthwise_mve(const int8_t *input, int8_t *output, const depthwise_mve_params *p)
{
  for (int32_t y = 0; y < p->output_height; y++) {
    const int32_t top = y * p->stride_height - p->pad_top;
    const taps_t rows = inside(top, p->dilation_height, p->kernel_height, p->input_height);
    for (int32_t x = 0; x < p->output_width; x++) {
      const int32_t left = x * p->stride_width - p->pad_left;
      const taps_t columns = inside(left, p->dilation_width, p->kernel_width, p->input_width);
      const bool empty = (rows.first == rows.end) || (columns.first == columns.end);
      const int32_t pixel = (top + rows.first * p->dilation_height) * p->input_width + left +
                            columns.first * p->dilation_width;
      const window_t window = {input + (empty ? 0 : pixel * p->channels),
                               p->weights + (rows.first * p->kernel_width + columns.first) * p->channels,
                               empty ? 0 : rows.end - rows.first, columns.end - columns.first};
      make_pixel(&window, output, p);
      output += p->channels;
    }
  }
}

/* The 3x3 kernels work on words of four bytes: a channel's values in one column of four input rows. Four columns of
   such words are a vector; its dot product with the kernel, in the same order, is an output of that channel. */

#define BLOCK 16 /* channels that are copied at once, a word each in every column */
#define COLUMN_BYTES (4 * BLOCK)

/* `columns` columns of words that hold nothing but `value`. Returns their end. */
static int8_t *fill_columns(int8_t *words, int8x16_t value, int32_t columns)
{
  for (int32_t left = columns * (COLUMN_BYTES / 16); left > 0; left--) {
    vstrbq_s8(words, value);
    words += 16;
  }
  return words;
}

/* 16 channels, or `lanes` of them, of `columns` pixels of four rows. The rows go on by `step` bytes. */
MVE_INLINE int8_t *copy_columns(int8_t *words, const int8_t *const from[4], const int32_t step[4], int32_t columns,
                                bool whole, mve_pred16_t lanes)
{
  const int8_t *from0 = from[0];
  const int8_t *from1 = from[1];
  const int8_t *from2 = from[2];
  const int8_t *from3 = from[3];
  const int32_t step0 = step[0];
  const int32_t step1 = step[1];
  const int32_t step2 = step[2];
  const int32_t step3 = step[3];
  for (; columns > 0; columns--) {
    int8x16x4_t rows;
    rows.val[0] = whole ? vldrbq_s8(from0) : vldrbq_z_s8(from0, lanes);
    rows.val[1] = whole ? vldrbq_s8(from1) : vldrbq_z_s8(from1, lanes);
    rows.val[2] = whole ? vldrbq_s8(from2) : vldrbq_z_s8(from2, lanes);
    rows.val[3] = whole ? vldrbq_s8(from3) : vldrbq_z_s8(from3, lanes);
    vst4q_s8(words, rows);
    words += COLUMN_BYTES;
    from0 += step0;
    from1 += step1;
    from2 += step2;
    from3 += step3;
  }
  return words;
}

/* Copy channels `at` to `at` + 15 of four rows from `top` on, as words. What is outside the input is its zero point. */
static void copy_rows(int8_t *words, const int8_t *input, int32_t top, int32_t columns, int32_t at,
                      const depthwise_mve_params *p)
{
  const int32_t channels = p->channels;
  const int8x16_t value = vdupq_n_s8((int8_t)p->input_zero);
  const int32_t inside = (columns - p->pad_left < p->input_width) ? columns - p->pad_left : p->input_width;
  const int8_t *from[4];
  int32_t step[4];
  int8_t zeros[16];
  vstrbq_s8(zeros, value);
  for (int32_t row = 0; row < 4; row++) {
    const int32_t y = top + row;
    const bool there = (y >= 0) && (y < p->input_height);
    from[row] = there ? input + y * p->input_width * channels + at : zeros;
    step[row] = there ? channels : 0;
  }
  words = fill_columns(words, value, p->pad_left);
  if (channels >= BLOCK) {
    words = copy_columns(words, from, step, inside, true, 0);
  } else {
    words = copy_columns(words, from, step, inside, false, vctp8q((uint32_t)channels));
  }
  fill_columns(words, value, columns - p->pad_left - inside);
}

/* The first of the channels to be copied for those from `at` on: the last block is whole too, if there are enough. */
static int32_t first_copied(int32_t at, int32_t channels)
{
  return ((at > 0) && (at + BLOCK > channels)) ? channels - BLOCK : at;
}

/* The nine weights of a channel as words: column by column, the fourth byte 0. */
MVE_INLINE int8x16_t load_kernel(const int8_t *weights)
{
  static const uint8_t order[16] = {0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 0, 0, 0, 0};
  return vldrbq_gather_offset_z_s8(weights, vldrbq_u8(order), 0x0777);
}

/* What becomes of the sums of a channel. */
typedef struct {
  int32_t bias;
  multiplier_t multiplier;
  int32_t shift;
  int32_t zero;
} scaling_t;

MVE_INLINE scaling_t scaling_of(int32_t channel, const depthwise_mve_params *p)
{
  const scaling_t scaling = {p->bias[channel], p->multiplier[channel], p->shift[channel], p->output_zero};
  return scaling;
}

/* Four outputs of a channel, saturated, in the lowest bytes of the lanes. */
MVE_INLINE int32x4_t make_4(int32x4_t sums, scaling_t scaling)
{
  const int32x4_t made = mve_requantize_any(vaddq_n_s32(sums, scaling.bias), scaling.multiplier, scaling.shift);
  return vreinterpretq_s32_s8(mve_halve_again(mve_halve(vaddq_n_s32(made, scaling.zero))));
}

/* The activation, on the whole output. Saturation has done it where the limits are those of int8. */
static void limit_output(int8_t *output, const depthwise_mve_params *p)
{
  if ((p->activation_min > -128) || (p->activation_max < 127)) {
    mve_limit(output, p->output_height * p->output_width * p->channels, p->activation_min, p->activation_max);
  }
}

/* A kernel for the upper left of the 2x2 outputs that see four columns of words, and moved for the others. */
typedef struct {
  int8x16_t here;
  int8x16_t right;
  int8x16_t below;
  int8x16_t below_right;
} kernels_t;

/* A second column or row that is not there is the first once more. */
MVE_INLINE kernels_t kernels_of(int8x16_t kernel, bool two_columns, bool two_rows)
{
  uint32_t carry = 0;
  kernels_t kernels;
  kernels.here = kernel;
  kernels.right = two_columns ? vshlcq_s8(kernel, &carry, 32) : kernel;
  kernels.below = kernel;
  kernels.below_right = kernels.right;
  if (two_rows) {
    kernels.below = vreinterpretq_s8_s32(vshlq_n_s32(vreinterpretq_s32_s8(kernels.here), 8));
    kernels.below_right = vreinterpretq_s8_s32(vshlq_n_s32(vreinterpretq_s32_s8(kernels.right), 8));
  }
  return kernels;
}

/* Two columns of two output rows, from four columns of words, two columns after those that `words` points to. */
MVE_INLINE int32x4_t sums_2x2(uint32x4_t *words, kernels_t kernels)
{
  /* vldrwq_gather_base_wb_s32(words, 2 * COLUMN_BYTES), which GCC 12 makes two loads of. */
  int8x16_t x;
  __asm__ volatile("vldrw.u32 %q[x], [%q[words], #128]!" : [x] "=&w"(x), [words] "+w"(*words) : : "memory");
  return mve_four(vmladavq_s8(x, kernels.here), vmladavq_s8(x, kernels.right), vmladavq_s8(x, kernels.below),
                  vmladavq_s8(x, kernels.below_right));
}

void depthwise_3x3_mve(const int8_t *input, int8_t *output, void *scratch, const depthwise_mve_params *p)
{
  const int32_t channels = p->channels;
  const int32_t width = p->output_width;
  const int32_t height = p->output_height;
  const int32_t row_bytes = width * channels;
  const int32_t pair_bytes = 2 * channels;
  const int32_t columns = (width > 1) ? width + 2 : 4;
  /* An image of one row, or column, makes it twice. */
  const int32_t below_bytes = (height > 1) ? row_bytes : 0;
  const int32_t next_bytes = (width > 1) ? channels : 0;
  const uint32x4_t place = vreinterpretq_u32_s32(mve_four(0, next_bytes, below_bytes, next_bytes + below_bytes));
  const uint32x4_t base = vaddq_n_u32(mve_steps(COLUMN_BYTES), (uint32_t)(uintptr_t)scratch);
  int8_t *made = output;
  for (int32_t y = 0; y < height; y += p->rows_together) {
    const int32_t rows = (height - y < p->rows_together) ? height - y : p->rows_together;
    const int32_t pairs = (rows + 1) >> 1;
    /* A last row without a second: the row before it is made again, with it. */
    const int32_t again = ((rows & 1) != 0 && height > 1) ? 1 : 0;
    for (int32_t at = 0; at < channels; at += BLOCK) {
      const int32_t first = first_copied(at, channels);
      const int32_t end = (at + BLOCK < channels) ? at + BLOCK : channels;
      for (int32_t pair = 0; pair < pairs; pair++) {
        const int32_t row = y + 2 * pair - ((pair == pairs - 1) ? again : 0);
        copy_rows((int8_t *)scratch + pair * columns * COLUMN_BYTES, input, row - p->pad_top, columns, first, p);
      }
      for (int32_t channel = at; channel < end; channel++) {
        const kernels_t kernels = kernels_of(load_kernel(p->weights + 9 * channel), width > 1, height > 1);
        const scaling_t scaling = scaling_of(channel, p);
        uint32x4_t words = vaddq_n_u32(base, (uint32_t)(4 * (channel - first) - 2 * COLUMN_BYTES));
        int8_t *row = made + channel;
        for (int32_t left = pairs; left > 0; left--) {
          int8_t *to = (left > 1) ? row : row - again * row_bytes;
          for (int32_t twos = width >> 1; twos > 0; twos--) {
            vstrbq_scatter_offset_s32(to, place, make_4(sums_2x2(&words, kernels), scaling));
            to += pair_bytes;
          }
          if ((width & 1) != 0) {
            /* The last column: the one before it is made again, with it. */
            words = vsubq_n_u32(words, (uint32_t)(COLUMN_BYTES * (width > 1)));
            vstrbq_scatter_offset_s32(to - next_bytes, place, make_4(sums_2x2(&words, kernels), scaling));
          }
          words = vaddq_n_u32(words, 2 * COLUMN_BYTES);
          row += 2 * row_bytes;
        }
      }
    }
    made += rows * row_bytes;
  }
  limit_output(output, p);
}

/* Four outputs of a row, two columns of words apart, the first two columns after those that `words` points to. */
MVE_INLINE int32x4_t sums_1x4(uint32x4_t *words, int8x16_t kernel)
{
  const int8x16_t x0 = vreinterpretq_s8_s32(vldrwq_gather_base_s32(*words, 2 * COLUMN_BYTES));
  const int8x16_t x1 = vreinterpretq_s8_s32(vldrwq_gather_base_s32(*words, 4 * COLUMN_BYTES));
  const int8x16_t x2 = vreinterpretq_s8_s32(vldrwq_gather_base_s32(*words, 6 * COLUMN_BYTES));
  *words = vaddq_n_u32(*words, 8 * COLUMN_BYTES);
  const int8x16_t x3 = vreinterpretq_s8_s32(vldrwq_gather_base_s32(*words, 0));
  return mve_four(vmladavq_s8(x0, kernel), vmladavq_s8(x1, kernel), vmladavq_s8(x2, kernel), vmladavq_s8(x3, kernel));
}

/* A channel of `rows` output rows. words: the first four columns; each row has its own `columns` of them. */
static void make_single_rows(int8_t *output, uint32x4_t words, uint32x4_t place, int32_t channel, int32_t rows,
                             int32_t columns, const depthwise_mve_params *p)
{
  const int8x16_t kernel = load_kernel(p->weights + 9 * channel);
  const scaling_t scaling = scaling_of(channel, p);
  const int32_t width = p->output_width;
  const int32_t step = 4 * p->channels;
  const int32_t rest = width & 3;
  const int32_t words_bytes = (columns - 2 * ((width + 3) & ~3)) * COLUMN_BYTES;
  for (; rows > 0; rows--) {
    for (int32_t left = width >> 2; left > 0; left--) {
      vstrbq_scatter_offset_s32(output, place, make_4(sums_1x4(&words, kernel), scaling));
      output += step;
    }
    if (rest != 0) {
      vstrbq_scatter_offset_p_s32(output, place, make_4(sums_1x4(&words, kernel), scaling), vctp32q((uint32_t)rest));
    }
    words = vaddq_n_u32(words, (uint32_t)words_bytes);
    output += rest * p->channels;
  }
}

void depthwise_3x3_stride_2_mve(const int8_t *input, int8_t *output, void *scratch, const depthwise_mve_params *p)
{
  const int32_t channels = p->channels;
  const int32_t width = p->output_width;
  const uint32x4_t place = mve_steps(channels);
  const uint32x4_t base = vaddq_n_u32(mve_steps(COLUMN_BYTES), (uint32_t)(uintptr_t)scratch);
  const int32_t columns = 2 * ((width + 3) & ~3) + 2;
  int8_t *made = output;
  for (int32_t y = 0; y < p->output_height; y += p->rows_together) {
    const int32_t there = p->output_height - y;
    const int32_t rows = (there < p->rows_together) ? there : p->rows_together;
    for (int32_t at = 0; at < channels; at += BLOCK) {
      const int32_t first = first_copied(at, channels);
      const int32_t end = (at + BLOCK < channels) ? at + BLOCK : channels;
      for (int32_t row = 0; row < rows; row++) {
        copy_rows((int8_t *)scratch + row * columns * COLUMN_BYTES, input, (y + row) * p->stride_height - p->pad_top,
                  columns, first, p);
      }
      for (int32_t channel = at; channel < end; channel++) {
        make_single_rows(made + channel, vaddq_n_u32(base, (uint32_t)(4 * (channel - first) - 2 * COLUMN_BYTES)), place,
                         channel, rows, columns, p);
      }
    }
    made += rows * width * channels;
  }
  limit_output(output, p);
}
