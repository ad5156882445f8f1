#include "kernels_conv_mve.h"

#include "kernels_mve.h"

#define PIXELS 4 /* made at once */
#define LOADED 16
#define MOST_BLOCKS 4 /* of 16 bytes, in windows that make_short() takes */

/* The windows of four output pixels, one after another. */
typedef struct {
  const int8_t *first;
  int32_t pitch; /* from one to the next */
  int32_t depth; /* bytes of each */
} windows_t;

/* Where the constants of the next channel lie. */
typedef struct {
  const int8_t *weights;
  const int32_t *bias;
  const multiplier_t *multiplier;
  const int8_t *shift;
} channel_t;

static inline channel_t channel_of(int32_t index, const conv_mve_params *p, int32_t depth)
{
  const channel_t channel = {p->weights + index * depth, p->bias + index, p->multiplier + index, p->shift + index};
  return channel;
}

/* Channels from the first to the one before the end. */
typedef struct {
  int32_t first;
  int32_t end;
} range_t;

/* A block of 16 bytes of four windows. */
typedef struct {
  int8x16_t of0;
  int8x16_t of1;
  int8x16_t of2;
  int8x16_t of3;
} block_t;

/* Sums of one channel from four windows of 2 to 4 blocks each, which lie without gaps, on multiples of four bytes, with
   zeros at their ends; what follows the channel's weights is multiplied by these. In assembly, since GCC would give the
   address of each block a register of its own. */
#define FIRST_BLOCK(x0, x1, x2, x3)  \
  "vldrb.8 q0, [%[w]]\n\t"           \
  "vldrw.32 q1, [%[x], " #x0 "]\n\t" \
  "vmladav.s8 %[s0], q0, q1\n\t"     \
  "vldrw.32 q2, [%[x], " #x1 "]\n\t" \
  "vmladav.s8 %[s1], q0, q2\n\t"     \
  "vldrw.32 q1, [%[x], " #x2 "]\n\t" \
  "vmladav.s8 %[s2], q0, q1\n\t"     \
  "vldrw.32 q2, [%[x], " #x3 "]\n\t" \
  "vmladav.s8 %[s3], q0, q2\n\t"

#define NEXT_BLOCK(w, x0, x1, x2, x3) \
  "vldrb.8 q0, [%[w], " #w "]\n\t"    \
  "vldrw.32 q1, [%[x], " #x0 "]\n\t"  \
  "vmladava.s8 %[s0], q0, q1\n\t"     \
  "vldrw.32 q2, [%[x], " #x1 "]\n\t"  \
  "vmladava.s8 %[s1], q0, q2\n\t"     \
  "vldrw.32 q1, [%[x], " #x2 "]\n\t"  \
  "vmladava.s8 %[s2], q0, q1\n\t"     \
  "vldrw.32 q2, [%[x], " #x3 "]\n\t"  \
  "vmladava.s8 %[s3], q0, q2\n\t"

#define SHORT_SUMS(name, blocks)                                                                                  \
  MVE_INLINE int32x4_t name(const int8_t *weights, const int8_t *windows)                                         \
  {                                                                                                               \
    int32_t s0;                                                                                                   \
    int32_t s1;                                                                                                   \
    int32_t s2;                                                                                                   \
    int32_t s3;                                                                                                   \
    __asm__ volatile(blocks                                                                                       \
                     : [s0] "=&Te"(s0), [s1] "=&Te"(s1), [s2] "=&Te"(s2), [s3] "=&Te"(s3)                         \
                     : [w] "r"(weights), [x] "r"(windows)                                                         \
                     : "q0", "q1", "q2", "memory");                                                               \
    return mve_four(s0, s1, s2, s3);                                                                              \
  }

SHORT_SUMS(sums_2, FIRST_BLOCK(0, 32, 64, 96) NEXT_BLOCK(16, 16, 48, 80, 112))
SHORT_SUMS(sums_3, FIRST_BLOCK(0, 48, 96, 144) NEXT_BLOCK(16, 16, 64, 112, 160) NEXT_BLOCK(32, 32, 80, 128, 176))
SHORT_SUMS(sums_4, FIRST_BLOCK(0, 64, 128, 192) NEXT_BLOCK(16, 16, 80, 144, 208) NEXT_BLOCK(32, 32, 96, 160, 224)
                       NEXT_BLOCK(48, 48, 112, 176, 240))

/* The same of one block, which is here already. */
MVE_INLINE int32x4_t sums_1(const int8_t *weights, block_t only)
{
  const int8x16_t w = vldrbq_s8(weights);
  return mve_four(vmladavq_s8(only.of0, w), vmladavq_s8(only.of1, w), vmladavq_s8(only.of2, w),
                  vmladavq_s8(only.of3, w));
}

MVE_INLINE int32x4_t short_sums(const int8_t *weights, const int8_t *windows, block_t only, int32_t blocks)
{
  switch (blocks) {
    case 1:
      return sums_1(weights, only);
    case 2:
      return sums_2(weights, windows);
    case 3:
      return sums_3(weights, windows);
    default:
      return sums_4(weights, windows);
  }
}

/* Four pixels of the next channel, without zero point and limits. blocks, any_shift: constants; 0 blocks:
   windows of any size. */
MVE_INLINE int32x4_t make_channel(channel_t *channel, windows_t windows, block_t only, int32_t blocks, bool any_shift)
{
  int32x4_t sums;
  if (blocks > 0) {
    sums = vaddq_n_s32(short_sums(channel->weights, windows.first, only, blocks), *channel->bias);
  } else {
    sums = mve_dot_4(channel->weights, windows.first, windows.first + windows.pitch, windows.first + 2 * windows.pitch,
                     windows.first + 3 * windows.pitch, windows.depth, *channel->bias);
  }
  sums = any_shift ? mve_requantize_any(sums, *channel->multiplier, *channel->shift)
                   : mve_requantize(sums, *channel->multiplier, *channel->shift);
  channel->weights += windows.depth;
  channel->bias++;
  channel->multiplier++;
  channel->shift++;
  /* Keeps the compiler from loading the constants of the next channels now: there are not registers enough. */
  __asm__ volatile(""
                   : "+w"(sums), "+r"(channel->weights), "+r"(channel->bias), "+r"(channel->multiplier),
                     "+r"(channel->shift));
  return sums;
}

/* Four pixels, a multiple of four channels without shifts to the left. Four are made at a time and narrowed so that
   each pixel's four bytes form a word. */
MVE_INLINE void make_quads(windows_t windows, int8_t *output, range_t range, int32_t blocks, const conv_mve_params *p)
{
  const uint32x4_t place = mve_steps(p->output_channels);
  const int16_t zero = (int16_t)p->output_zero;
  const int8x16_t low = vdupq_n_s8((int8_t)p->activation_min);
  const int8x16_t high = vdupq_n_s8((int8_t)p->activation_max);
  channel_t channel = channel_of(range.first, p, windows.depth);
  block_t only = {low, low, low, low};
  if (blocks == 1) {
    const mve_pred16_t there = vctp8q((uint32_t)windows.depth);
    only.of0 = vldrbq_z_s8(windows.first, there);
    only.of1 = vldrbq_z_s8(windows.first + windows.pitch, there);
    only.of2 = vldrbq_z_s8(windows.first + 2 * windows.pitch, there);
    only.of3 = vldrbq_z_s8(windows.first + 3 * windows.pitch, there);
  }
  output += range.first;
  for (int32_t left = range.end - range.first; left > 0; left -= 4) {
    int16x8_t even = mve_halve(make_channel(&channel, windows, only, blocks, false));
    int16x8_t odd = mve_halve(make_channel(&channel, windows, only, blocks, false));
    even = vqmovntq_s32(even, make_channel(&channel, windows, only, blocks, false));
    odd = vqmovntq_s32(odd, make_channel(&channel, windows, only, blocks, false));
    even = vqaddq_n_s16(even, zero);
    odd = vqaddq_n_s16(odd, zero);
    const int8x16_t bytes = vminq_s8(vmaxq_s8(vqmovntq_s16(mve_halve_again(even), odd), low), high);
    vstrwq_scatter_offset_s32((int32_t *)(void *)output, place, vreinterpretq_s32_s8(bytes));
    output += 4;
  }
}

static void make_1(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p)
{
  make_quads(*windows, output, *range, 1, p);
}

static void make_2(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p)
{
  make_quads(*windows, output, *range, 2, p);
}

static void make_3(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p)
{
  make_quads(*windows, output, *range, 3, p);
}

static void make_4(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p)
{
  make_quads(*windows, output, *range, 4, p);
}

static void make_long(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p)
{
  make_quads(*windows, output, *range, 0, p);
}

/* Four pixels, any channels. */
static void make_any(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p)
{
  const uint32x4_t place = mve_steps(p->output_channels);
  const int32x4_t low = vdupq_n_s32(p->activation_min);
  const int32x4_t high = vdupq_n_s32(p->activation_max);
  const int8x16_t none = vdupq_n_s8(0);
  const block_t unused = {none, none, none, none};
  channel_t channel = channel_of(range->first, p, windows->depth);
  for (int32_t i = range->first; i < range->end; i++) {
    const int32x4_t stored = vaddq_n_s32(make_channel(&channel, *windows, unused, 0, true), p->output_zero);
    vstrbq_scatter_offset_s32(output + i, place, vminq_s32(vmaxq_s32(stored, low), high));
  }
}

/* One pixel, four channels at a time. */
static void make_one(const int8_t *window, int8_t *output, int32_t depth, const conv_mve_params *p)
{
  const int32x4_t low = vdupq_n_s32(p->activation_min);
  const int32x4_t high = vdupq_n_s32(p->activation_max);
  const int8_t *weights = p->weights;
  for (int32_t at = 0; at < p->output_channels; at += 4) {
    const int32_t left = p->output_channels - at;
    const mve_pred16_t lanes = vctp32q((uint32_t)left);
    int32x4_t made = vaddq_s32(mve_dot_rows(window, weights, left, depth), vldrwq_z_s32(p->bias + at, lanes));
    made = mve_requantize_channels(made, p->multiplier, p->shift, at, lanes);
    made = vminq_s32(vmaxq_s32(vaddq_n_s32(made, p->output_zero), low), high);
    vstrbq_p_s32(output + at, made, lanes);
    weights += 4 * depth;
  }
}

typedef void (*make_t)(const windows_t *windows, int8_t *output, const range_t *range, const conv_mve_params *p);

/* Blocks of a window, for functions that want zeros behind it; 0: for those that take windows of any size. */
static int32_t short_blocks(int32_t depth, const conv_mve_params *p)
{
  const int32_t blocks = (depth + LOADED - 1) / LOADED;
  return (((p->output_channels & 3) == 0) && (blocks <= MOST_BLOCKS)) ? blocks : 0;
}

/* The function for that number of channels, none of them with a shift to the left. */
static make_t maker(int32_t blocks, const conv_mve_params *p)
{
  static const make_t by_blocks[MOST_BLOCKS + 1] = {make_long, make_1, make_2, make_3, make_4};
  return ((p->output_channels & 3) == 0) ? by_blocks[blocks] : make_any;
}

static bool shifts_left(const int8_t *shift)
{
  return (shift[0] > 0) || (shift[1] > 0) || (shift[2] > 0) || (shift[3] > 0);
}

/* All channels of four pixels. Fours with shifts to the left, of which there are few, are made on their own. */
static void make_pixels(make_t make, const windows_t *windows, int8_t *output, const conv_mve_params *p)
{
  const int32_t channels = p->output_channels;
  range_t range = {0, channels};
  if ((p->shifts_left == 0) || (make == make_any)) {
    make(windows, output, &range, p);
  } else {
    while (range.first < channels) {
      const bool left = shifts_left(p->shift + range.first);
      range.end = range.first + 4;
      while ((range.end < channels) && (shifts_left(p->shift + range.end) == left)) {
        range.end += 4;
      }
      (left ? make_any : make)(windows, output, &range, p);
      range.first = range.end;
    }
  }
}

void conv_pointwise_mve(const int8_t *input, int8_t *output, const conv_mve_params *p)
{
  const int32_t depth = p->input_channels;
  const int32_t channels = p->output_channels;
  const int32_t blocks = short_blocks(depth, p);
  const make_t make = maker(blocks, p);
  const bool copied = (blocks > 1) && (depth % LOADED != 0);
  int32_t copies[PIXELS * MOST_BLOCKS * LOADED / 4] = {0};
  int32_t left = p->output_height * p->output_width;
  windows_t windows = {input, depth, depth};
  if (copied) {
    windows.pitch = blocks * LOADED;
  }
  for (; left >= PIXELS; left -= PIXELS) {
    if (copied) {
      int8_t *to = (int8_t *)copies;
      windows.first = to;
      for (int32_t i = 0; i < PIXELS; i++) {
        mve_copy(to + i * windows.pitch, input + i * depth, depth);
      }
    } else {
      windows.first = input;
    }
    make_pixels(make, &windows, output, p);
    input += PIXELS * depth;
    output += PIXELS * channels;
  }
  for (; left > 0; left--) {
    make_one(input, output, depth, p);
    input += depth;
    output += channels;
  }
}

/* The window whose first row and column are `top` and `left` of the input, either of which may lie outside. */
static void copy_window(int8_t *to, const int8_t *input, int32_t top, int32_t left, const conv_mve_params *p)
{
  const int32_t channels = p->input_channels;
  const int32_t row_bytes = p->kernel_width * channels;
  for (int32_t row = 0; row < p->kernel_height; row++) {
    const int32_t y = top + row * p->dilation_height;
    if ((y < 0) || (y >= p->input_height)) {
      to = mve_fill(to, p->input_zero, row_bytes);
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
  const int32_t channels = p->output_channels;
  const int32_t row_bytes = p->kernel_width * p->input_channels;
  const int32_t row_step = p->dilation_height * p->input_width * p->input_channels;
  const int32_t depth = p->kernel_height * row_bytes;
  const int32_t pitch = (depth + LOADED - 1) & ~(LOADED - 1);
  const windows_t windows = {scratch, pitch, depth};
  const make_t make = maker(short_blocks(depth, p), p);
  /* Windows that begin in these rows and columns lie inside the input, and their rows are whole. */
  const int32_t rows_inside = p->input_height - (p->kernel_height - 1) * p->dilation_height;
  const int32_t columns_inside = (p->dilation_width == 1) ? p->input_width - p->kernel_width + 1 : 0;
  int8_t *to = scratch;
  int32_t copied = 0;
  mve_fill(scratch, 0, PIXELS * pitch);
  for (int32_t y = 0; y < p->output_height; y++) {
    const int32_t top = y * p->stride_height - p->pad_top;
    int32_t left = -p->pad_left;
    for (int32_t x = 0; x < p->output_width; x++) {
      if ((top >= 0) && (top < rows_inside) && (left >= 0) && (left < columns_inside)) {
        const int8_t *from = input + (top * p->input_width + left) * p->input_channels;
        int8_t *row_to = to;
        for (int32_t rows = p->kernel_height; rows > 0; rows--) {
          row_to = mve_copy(row_to, from, row_bytes);
          from += row_step;
        }
      } else {
        copy_window(to, input, top, left, p);
      }
      left += p->stride_width;
      to += pitch;
      copied++;
      if (copied == PIXELS) {
        make_pixels(make, &windows, output, p);
        output += PIXELS * channels;
        to = scratch;
        copied = 0;
      }
    }
  }
  for (int32_t i = 0; i < copied; i++) {
    make_one(windows.first + i * pitch, output, depth, p);
    output += channels;
  }
}
