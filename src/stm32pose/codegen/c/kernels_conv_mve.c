#include "kernels_conv_mve.h"

#include "kernels_mve.h"

/* Four windows ("columns"), side by side, and what is made of them. Missing ones repeat the last that is there, in
   `window` and in `place`: the same bytes are then written more than once. */
typedef struct {
  const int8_t *window[4];
  uint32x4_t place; /* of each one's output pixel behind the first */
} columns_t;

/* A block of 16 bytes of each window. */
typedef struct {
  int8x16_t of0;
  int8x16_t of1;
  int8x16_t of2;
  int8x16_t of3;
} block_t;

/* Where the constants of the next channel lie. */
typedef struct {
  const int8_t *weights;
  const int32_t *bias;
  const multiplier_t *multiplier;
  const int8_t *shift;
} channel_t;

/* Sums of one channel from windows of at most `blocks` * 16 bytes, bias not added. What follows the weights is read too
   and multiplied by zeros. last: the last block of each window, filled up with zeros. */
MVE_INLINE int32x4_t short_sums(const int8_t *weights, const columns_t *columns, block_t last, int32_t blocks)
{
  const int8x16_t rest = vldrbq_s8(weights + 16 * (blocks - 1));
  int32_t s0 = vmladavq_s8(last.of0, rest);
  int32_t s1 = vmladavq_s8(last.of1, rest);
  int32_t s2 = vmladavq_s8(last.of2, rest);
  int32_t s3 = vmladavq_s8(last.of3, rest);
#pragma GCC unroll 4
  for (int32_t at = 0; at < 16 * (blocks - 1); at += 16) {
    const int8x16_t w = vldrbq_s8(weights + at);
    s0 = vmladavaq_s8(s0, vldrbq_s8(columns->window[0] + at), w);
    s1 = vmladavaq_s8(s1, vldrbq_s8(columns->window[1] + at), w);
    s2 = vmladavaq_s8(s2, vldrbq_s8(columns->window[2] + at), w);
    s3 = vmladavaq_s8(s3, vldrbq_s8(columns->window[3] + at), w);
  }
  return mve_four(s0, s1, s2, s3);
}

/* Four pixels of the next channel, without zero point and limits. blocks: a constant, the number of blocks of 16 bytes
   that a window has; 0: any. */
MVE_INLINE int32x4_t make_channel(channel_t *channel, const columns_t *columns, block_t last, int32_t depth,
                                  int32_t blocks)
{
  int32x4_t sums;
  if (blocks > 0) {
    sums = vaddq_n_s32(short_sums(channel->weights, columns, last, blocks), *channel->bias);
  } else {
    sums = mve_dot_4(channel->weights, columns->window[0], columns->window[1], columns->window[2], columns->window[3],
                     depth, *channel->bias);
  }
  sums = mve_requantize(sums, *channel->multiplier, *channel->shift);
  channel->weights += depth;
  channel->bias++;
  channel->multiplier++;
  channel->shift++;
  /* Keeps the compiler from loading constants of the next channels now: there are not registers enough. */
  __asm__ volatile(""
                   : "+w"(sums), "+r"(channel->weights), "+r"(channel->bias), "+r"(channel->multiplier),
                     "+r"(channel->shift));
  return sums;
}

/* Four pixels, their channels a multiple of four. They are made four at a time and narrowed so that each pixel's four
   bytes form a word. */
MVE_INLINE void make_quads(const columns_t *columns, int8_t *output, int32_t depth, int32_t blocks,
                           const conv_mve_params *p)
{
  const int32_t at = (blocks > 0) ? 16 * (blocks - 1) : 0;
  const mve_pred16_t rest = vctp8q((uint32_t)(depth - at));
  const block_t last = {vldrbq_z_s8(columns->window[0] + at, rest), vldrbq_z_s8(columns->window[1] + at, rest),
                        vldrbq_z_s8(columns->window[2] + at, rest), vldrbq_z_s8(columns->window[3] + at, rest)};
  const int16_t zero = (int16_t)p->output_zero;
  const int8x16_t low = vdupq_n_s8((int8_t)p->activation_min);
  const int8x16_t high = vdupq_n_s8((int8_t)p->activation_max);
  channel_t channel = {p->weights, p->bias, p->multiplier, p->shift};
  for (int32_t left = p->output_channels; left > 0; left -= 4) {
    int32x4_t made = make_channel(&channel, columns, last, depth, blocks);
    int16x8_t even = vqmovnbq_s32(vreinterpretq_s16_s32(made), made);
    made = make_channel(&channel, columns, last, depth, blocks);
    int16x8_t odd = vqmovnbq_s32(vreinterpretq_s16_s32(made), made);
    even = vqmovntq_s32(even, make_channel(&channel, columns, last, depth, blocks));
    odd = vqmovntq_s32(odd, make_channel(&channel, columns, last, depth, blocks));
    even = vqaddq_n_s16(even, zero);
    odd = vqaddq_n_s16(odd, zero);
    int8x16_t bytes = vqmovnbq_s16(vreinterpretq_s8_s16(even), even);
    bytes = vminq_s8(vmaxq_s8(vqmovntq_s16(bytes, odd), low), high);
    vstrwq_scatter_offset_s32((int32_t *)(void *)output, columns->place, vreinterpretq_s32_s8(bytes));
    output += 4;
  }
}

static void make_1(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  make_quads(columns, output, depth, 1, p);
}

static void make_2(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  make_quads(columns, output, depth, 2, p);
}

static void make_3(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  make_quads(columns, output, depth, 3, p);
}

static void make_4(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  make_quads(columns, output, depth, 4, p);
}

static void make_long(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  make_quads(columns, output, depth, 0, p);
}

/* Four pixels of any number of channels. */
static void make_any(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  const int8x16_t none = vdupq_n_s8(0);
  const block_t unused = {none, none, none, none};
  const int32x4_t low = vdupq_n_s32(p->activation_min);
  const int32x4_t high = vdupq_n_s32(p->activation_max);
  channel_t channel = {p->weights, p->bias, p->multiplier, p->shift};
  for (int32_t i = 0; i < p->output_channels; i++) {
    const int32x4_t stored = vaddq_n_s32(make_channel(&channel, columns, unused, depth, 0), p->output_zero);
    vstrbq_scatter_offset_s32(output + i, columns->place, vminq_s32(vmaxq_s32(stored, low), high));
  }
}

typedef void (*make_t)(const columns_t *columns, int8_t *output, int32_t depth, const conv_mve_params *p);

/* The function for windows of `depth` bytes and that number of channels. */
static make_t maker(int32_t depth, int32_t channels)
{
  static const make_t by_blocks[] = {make_long, make_1, make_2, make_3, make_4};
  const int32_t blocks = (depth + 15) >> 4;
  return ((channels & 3) != 0) ? make_any : by_blocks[(blocks <= 4) ? blocks : 0];
}

void conv_pointwise_mve(const int8_t *input, int8_t *output, const conv_mve_params *p)
{
  const int32_t depth = p->input_channels;
  const int32_t channels = p->output_channels;
  const make_t make = maker(depth, channels);
  columns_t columns;
  columns.place = mve_steps(channels);
  for (int32_t left = p->output_height * p->output_width; left > 0; left -= 4) {
    const int32_t last = ((left < 4) ? left : 4) - 1;
    for (int32_t i = 0; i < 4; i++) {
      columns.window[i] = input + ((i < last) ? i : last) * depth;
    }
    columns.place = vminq_u32(columns.place, vdupq_n_u32((uint32_t)(last * channels)));
    make(&columns, output, depth, p);
    input += 4 * depth;
    output += 4 * channels;
  }
}

/* The window whose first row and column are `top` and `left` of the input, either of which may lie outside. */
static void copy_window(int8_t *to, const int8_t *input, int32_t top, int32_t left, const conv_mve_params *p)
{
  const int32_t channels = p->input_channels;
  const int32_t row_bytes = p->kernel_width * channels;
  const bool whole = (p->dilation_width == 1) && (left >= 0) && (left + p->kernel_width <= p->input_width);
  for (int32_t row = 0; row < p->kernel_height; row++) {
    const int32_t y = top + row * p->dilation_height;
    if ((y < 0) || (y >= p->input_height)) {
      to = mve_fill(to, p->input_zero, row_bytes);
    } else if (whole) {
      to = mve_copy(to, input + (y * p->input_width + left) * channels, row_bytes);
    } else {
      for (int32_t column = 0; column < p->kernel_width; column++) {
        const int32_t x = left + column * p->dilation_width;
        if ((x < 0) || (x >= p->input_width)) {
          to = mve_fill(to, p->input_zero, channels);
        } else {
          to = mve_copy(to, input + (y * p->input_width + x) * channels, channels);
        }
      }
    }
  }
}

void conv_mve(const int8_t *input, int8_t *output, void *scratch, const conv_mve_params *p)
{
  const int32_t depth = p->kernel_height * p->kernel_width * p->input_channels;
  const int32_t pitch = (depth + 15) & ~15;
  const int32_t channels = p->output_channels;
  const make_t make = maker(depth, channels);
  int8_t *const windows = scratch;
  columns_t columns;
  int32_t y = 0;
  int32_t x = 0;
  int32_t left = p->output_height * p->output_width;
  columns.place = mve_steps(channels);
  columns.window[0] = windows;
  columns.window[1] = windows + pitch;
  columns.window[2] = windows + 2 * pitch;
  columns.window[3] = windows + 3 * pitch;
  while (left > 0) {
    const int32_t count = (left < 4) ? left : 4;
    for (int32_t i = 0; i < count; i++) {
      copy_window(windows + i * pitch, input, y * p->stride_height - p->pad_top, x * p->stride_width - p->pad_left, p);
      x++;
      if (x == p->output_width) {
        x = 0;
        y++;
      }
    }
    for (int32_t i = count; i < 4; i++) {
      columns.window[i] = columns.window[count - 1];
    }
    columns.place = vminq_u32(columns.place, vdupq_n_u32((uint32_t)((count - 1) * channels)));
    make(&columns, output, depth, p);
    output += 4 * channels;
    left -= 4;
  }
}
