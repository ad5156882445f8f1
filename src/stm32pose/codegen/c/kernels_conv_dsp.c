/* Convolutions and fully connected layers with the DSP instructions of Cortex-M. Written by stm32pose.

   The inputs of four pixels are spread to halves of words in scratch once, side by side, and then multiplied with two
   channels of weights at a time: eight sums stay in registers. Input is read as it is stored: its zero point is in
   the bias. */
#include "kernels_conv_dsp_tiles.h"

/* `words` words of one pixel to words of halves, `lanes` words apart; returns the end. */
static uint32_t *spread_lane(const int8_t *input, uint32_t *to, int32_t lanes, int32_t words)
{
  int32_t word;
  for (word = 0; word < words; word++) {
    const uint32_t bytes = dsp_load(input);
    to[0] = dsp_even(bytes);
    to[lanes] = dsp_odd(bytes);
    input += 4;
    to += 2 * lanes;
  }
  return to;
}

static uint32_t *fill_lane(uint32_t *to, int32_t lanes, int32_t words, uint32_t halves)
{
  int32_t word;
  for (word = 0; word < 2 * words; word++) {
    *to = halves;
    to += lanes;
  }
  return to;
}

/* What all tiles have in common. */
static void start_tiles(conv_tile *tile, const uint32_t *columns, const conv_dsp_params *p)
{
  tile->columns = columns;
  tile->step = p->output_channels;
  tile->three_steps = 3 * p->output_channels;
  tile->limits = dsp_limits_of(p->scaling, p->output_zero, p->activation_min, p->activation_max);
  tile->scaling = p->scaling;
}

/* Channels from `channel` on by requantize(). `tile->packed` is at the first of them. */
static void finish_in_c(conv_tile *tile, int32_t pixels, int8_t *output, int32_t channel, const conv_dsp_params *p)
{
  const int32_t scale_words = dsp_scale_words(p->scaling);
  int32_t pixel, i;
  for (; channel < p->output_channels; channel += 2) {
    const uint32_t *scale = tile->packed + 2 + p->depth / 2;
    int32_t sums[8];
    tile->output = (int8_t *)sums;
    (pixels == 4 ? tile_4_sums : tile_1_sums)(tile);
    tile->packed = scale + 2 * scale_words;
    for (i = 0; i < 2 && channel + i < p->output_channels; i++) {
      for (pixel = 0; pixel < pixels; pixel++) {
        const int32_t value =
            dsp_requantize(sums[i * pixels + pixel], scale + scale_words * i, p->scaling == DSP_SCALE_ONCE);
        output[pixel * p->output_channels + channel + i] =
            (int8_t)clamp(value + p->output_zero, p->activation_min, p->activation_max);
      }
    }
  }
}

/* What makes pairs of channels of four pixels and of one, in one way of scaling; NULL: C code makes all. */
typedef struct {
  tile_maker four;
  tile_maker one;
} tile_makers;

/* All channels of one tile of `pixels` pixels, 4 or 1. */
static void finish_tile(conv_tile *tile, int32_t pixels, int8_t *output, const conv_dsp_params *p, tile_makers make)
{
  const int32_t paired = make.four != NULL ? p->output_channels & ~1 : 0;
  tile->packed = p->packed;
  tile->last = tile->columns + pixels * (p->depth / 2);
  if (paired > 0) {
    tile->output = output;
    tile->end = output + paired;
    (pixels == 4 ? make.four : make.one)(tile);
  }
  if (paired < p->output_channels) {
    tile->packed += (paired / 2) * (2 + p->depth / 2 + 2 * dsp_scale_words(p->scaling));
    finish_in_c(tile, pixels, output, paired, p);
  }
}

/* The window of one pixel, which begins at row `top` and column `left` of the input, to lane `to` of `lanes`. */
static void gather_lane(const int8_t *input, uint32_t *to, int32_t lanes, int32_t top, int32_t left,
                        const conv_dsp_params *p)
{
  const int32_t words = p->input_channels / 4;
  const uint32_t zero = ((uint32_t)p->input_zero & 0xFFFFu) * 0x10001u;
  int32_t i, j;
  for (i = 0; i < p->kernel_height; i++) {
    const int32_t row = top + i * p->dilation_height;
    const int8_t *line = input + row * p->input_width * p->input_channels;
    const int32_t last = left + (p->kernel_width - 1) * p->dilation_width;
    if (row < 0 || row >= p->input_height) {
      to = fill_lane(to, lanes, words * p->kernel_width, zero);
    } else if (p->dilation_width == 1 && left >= 0 && last < p->input_width) {
      to = spread_lane(line + left * p->input_channels, to, lanes, words * p->kernel_width);
    } else {
      for (j = 0; j < p->kernel_width; j++) {
        const int32_t column = left + j * p->dilation_width;
        if (column < 0 || column >= p->input_width) {
          to = fill_lane(to, lanes, words, zero);
        } else {
          to = spread_lane(line + column * p->input_channels, to, lanes, words);
        }
      }
    }
  }
}

/* As gather_lane, of channels that are no multiple of 4: to `depth` bytes. */
static void gather_bytes(const int8_t *input, int8_t *to, int32_t top, int32_t left, const conv_dsp_params *p)
{
  const int32_t channels = p->input_channels;
  const int32_t used = p->kernel_height * p->kernel_width * channels;
  int32_t i, j, k;
  for (k = used; k < p->depth; k++) {
    to[k] = 0;
  }
  for (i = 0; i < p->kernel_height; i++) {
    const int32_t row = top + i * p->dilation_height;
    const int8_t *line = input + row * p->input_width * channels;
    const int32_t last = left + (p->kernel_width - 1) * p->dilation_width;
    if (row < 0 || row >= p->input_height) {
      memset(to, p->input_zero, (size_t)(channels * p->kernel_width));
      to += channels * p->kernel_width;
    } else if (p->dilation_width == 1 && left >= 0 && last < p->input_width) {
      const int8_t *from = line + left * channels;
      for (k = channels * p->kernel_width; k >= 4; k -= 4) {
        memcpy(to, from, 4);
        to += 4;
        from += 4;
      }
      for (; k > 0; k--) {
        *to++ = *from++;
      }
    } else {
      for (j = 0; j < p->kernel_width; j++) {
        const int32_t column = left + j * p->dilation_width;
        for (k = 0; k < channels; k++) {
          *to++ = (column < 0 || column >= p->input_width) ? (int8_t)p->input_zero : line[column * channels + k];
        }
      }
    }
  }
}

/* As gather_bytes of a window inside the input, by words. Up to three bytes more than the window's are read and
   written: the next row's are put over them, or they meet weights of 0, or lie in the slack of the scratch. */
static void gather_words(const int8_t *from, int8_t *to, const conv_dsp_params *p)
{
  const int32_t count = p->kernel_width * p->input_channels;
  const int32_t down = p->dilation_height * p->input_width * p->input_channels;
  int32_t rows, k;
  for (rows = p->kernel_height; rows > 0; rows--) {
    if (count == 9) { /* three colours */
      memcpy(to, from, 4);
      memcpy(to + 4, from + 4, 4);
      to[8] = from[8];
    } else {
      for (k = 0; k < count; k += 4) {
        memcpy(to + k, from + k, 4);
      }
    }
    from += down;
    to += count;
  }
}

/* Four windows in one row, all inside the input. */
static void gather_4(const int8_t *input, uint32_t *to, int32_t top, int32_t left, const conv_dsp_params *p)
{
  const int32_t words = p->input_channels / 4;
  const int32_t step = p->stride_width * p->input_channels;
  int32_t i, j;
  for (i = 0; i < p->kernel_height; i++) {
    const int8_t *from = input + ((top + i * p->dilation_height) * p->input_width + left) * p->input_channels;
    if (p->dilation_width == 1) {
      to = spread_4(from, to, step, words * p->kernel_width);
    } else {
      for (j = 0; j < p->kernel_width; j++) {
        to = spread_4(from, to, step, words);
        from += p->dilation_width * p->input_channels;
      }
    }
  }
}

/* `pixels` windows from output pixel (`row`, `column`) on, which goes on to the next after them. `bytes` is room for
   windows of channels that are no multiple of 4. */
static void gather(const int8_t *input, uint32_t *columns, int8_t *bytes, int32_t *row, int32_t *column, int32_t pixels,
                   const conv_dsp_params *p)
{
  const int32_t whole = (p->input_channels & 3) == 0;
  const int32_t reach_down = (p->kernel_height - 1) * p->dilation_height;
  /* Windows that reach the last row, or one of the last if rows are short, are not read beyond their end. */
  const int32_t last_row = p->input_height - 1 - 3 / (p->input_width * p->input_channels);
  int32_t top = *row * p->stride_height - p->pad_top;
  int32_t left = *column * p->stride_width - p->pad_left;
  int32_t pixel;
  for (pixel = 0; pixel < pixels; pixel++) {
    if (whole != 0) {
      gather_lane(input, columns + pixel, pixels, top, left, p);
    } else if (top >= 0 && left >= 0 && p->dilation_width == 1 && top + reach_down < last_row &&
               left + p->kernel_width <= p->input_width) {
      gather_words(input + (top * p->input_width + left) * p->input_channels, bytes + pixel * p->depth, p);
    } else {
      gather_bytes(input, bytes + pixel * p->depth, top, left, p);
    }
    left += p->stride_width;
    if (++*column == p->output_width) {
      *column = 0;
      ++*row;
      left = -p->pad_left;
      top += p->stride_height;
    }
  }
  if (whole == 0 && pixels == 4) {
    (void)spread_4(bytes, columns, p->depth, p->depth / 4);
  } else if (whole == 0) {
    (void)spread_lane(bytes, columns, 1, p->depth / 4);
  }
}

static void conv_any(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p, tile_makers make)
{
  uint32_t *columns = scratch;
  int8_t *bytes = (int8_t *)(columns + 2 * p->depth);
  const int32_t whole = (p->input_channels & 3) == 0;
  const int32_t reach_down = (p->kernel_height - 1) * p->dilation_height;
  const int32_t reach_right = 3 * p->stride_width + (p->kernel_width - 1) * p->dilation_width;
  int32_t left_over = p->output_height * p->output_width;
  int32_t row = 0, column = 0;
  conv_tile tile;
  start_tiles(&tile, columns, p);
  while (left_over > 0) {
    const int32_t pixels = left_over >= 4 ? 4 : 1;
    const int32_t top = row * p->stride_height - p->pad_top;
    const int32_t left = column * p->stride_width - p->pad_left;
    if (whole && pixels == 4 && column + 4 <= p->output_width && top >= 0 && left >= 0 &&
        top + reach_down < p->input_height && left + reach_right < p->input_width) {
      gather_4(input, columns, top, left, p);
      column += 4;
      if (column == p->output_width) {
        column = 0;
        row++;
      }
    } else {
      gather(input, columns, bytes, &row, &column, pixels, p);
    }
    finish_tile(&tile, pixels, output, p, make);
    output += pixels * p->output_channels;
    left_over -= pixels;
  }
}

static void conv_1x1_any(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p, tile_makers make)
{
  uint32_t *columns = scratch;
  int8_t *bytes = (int8_t *)(columns + 2 * p->depth);
  const int32_t channels = p->input_channels;
  int32_t left_over = p->output_height * p->output_width;
  conv_tile tile;
  start_tiles(&tile, columns, p);
  while (left_over > 0) {
    const int32_t pixels = left_over >= 4 ? 4 : 1;
    const int8_t *from = input;
    int32_t pixel;
    if (p->depth != channels) {
      for (pixel = 0; pixel < pixels; pixel++) {
        memcpy(bytes + pixel * p->depth, input + pixel * channels, (size_t)channels);
        memset(bytes + pixel * p->depth + channels, 0, (size_t)(p->depth - channels));
      }
      from = bytes;
    }
    if (pixels == 4) {
      (void)spread_4(from, columns, p->depth, p->depth / 4);
    } else {
      (void)spread_lane(from, columns, 1, p->depth / 4);
    }
    finish_tile(&tile, pixels, output, p, make);
    input += pixels * channels;
    output += pixels * p->output_channels;
    left_over -= pixels;
  }
}

/* The entries of one way of scaling; those that a program does not call are left out of it by the linker. */
#define ENTRIES(way, four, one)                                                                                  \
  void conv_dsp_##way(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p)              \
  {                                                                                                              \
    const tile_makers make = {four, one};                                                                        \
    conv_any(input, output, scratch, p, make);                                                                   \
  }                                                                                                              \
  void conv_1x1_dsp_##way(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p)          \
  {                                                                                                              \
    const tile_makers make = {four, one};                                                                        \
    conv_1x1_any(input, output, scratch, p, make);                                                               \
  }

ENTRIES(c, NULL, NULL)
#if !KERNELS_DSP_ASSEMBLY
ENTRIES(relu, tile_4_scaled, tile_1_scaled)
ENTRIES(plain, tile_4_scaled, tile_1_scaled)
ENTRIES(general, tile_4_scaled, tile_1_scaled)
ENTRIES(float, tile_4_scaled, tile_1_scaled)
#elif NETWORK_ROUNDING_FLOAT
ENTRIES(float, tile_4_float, tile_1_float)
#else
ENTRIES(relu, tile_4_relu, tile_1_relu)
ENTRIES(plain, tile_4_plain, tile_1_plain)
ENTRIES(general, tile_4_general, tile_1_general)
#endif
