/* Depthwise convolutions with the DSP instructions of Cortex-M. Written by stm32pose.

   Four channels lie in one word. Words of two pixels are mixed so that both factors of one channel stand in the
   halves of a word: one instruction then multiplies with two weights. What lies outside the input is read from a row
   of zero points. */
#include "kernels_depthwise_dsp_pixels.h"

/* What makes pixels: one of any kernel, or two of a row with a kernel of 3 x 3, one or two columns apart. */
enum { SINGLE = 0, PAIR_1 = 1, PAIR_2 = 2 };

/* The sums of four channels as they are: see pair_..._sums and single_sums. */
static void four_sums(const depthwise_pixel *pixel, int32_t kind)
{
#if KERNELS_DSP_ASSEMBLY
  (kind == SINGLE ? single_sums : kind == PAIR_1 ? pair_1_sums : pair_2_sums)(pixel);
#else
  (kind == SINGLE ? single_sums : pair_sums)(pixel);
#endif
}

static int8_t finish(int32_t sum, const uint32_t *scale, const depthwise_dsp_params *p)
{
  return (int8_t)clamp(dsp_requantize(sum, scale, 0) + p->output_zero, p->activation_min, p->activation_max);
}

/* Four channels, fewer at the end, from their sums; of two pixels where `step`, the bytes between them, is not 0. */
static void finish_four(depthwise_pixel *pixel, int8_t *output, int32_t channel, int32_t kind, int32_t step,
                        const depthwise_dsp_params *p)
{
  const int32_t scale_words = dsp_scale_words(p->scaling);
  const uint32_t *packed = pixel->packed;
  int32_t sums[8];
  int32_t i;
  pixel->output = (int8_t *)sums;
  pixel->step = (kind != SINGLE ? 8 : 16) * scale_words;
  four_sums(pixel, kind);
  for (i = 0; i < 4 && channel + i < p->channels; i++) {
    if (kind != SINGLE) {
      const uint32_t *scale = packed + 7 + (i / 2) * (7 + 2 * scale_words) + scale_words * (i & 1);
      const int32_t *both = sums + 4 * (i / 2) + (i & 1);
      if (step != 0) {
        output[step + channel + i] = finish(both[0], scale, p);
      }
      output[channel + i] = finish(both[2], scale, p);
    } else {
      output[channel + i] = finish(sums[i], packed + 4 + (pixel->end - pixel->taps) + scale_words * i, p);
    }
  }
}

/* Channels by requantize(): all, or those after the last whole four, which are copied so that nothing beyond is read.
*/
static void finish_in_c(const depthwise_pixel *given, int8_t *output, int32_t kind, int32_t step,
                        const depthwise_dsp_params *p)
{
  const int32_t whole = p->channels & ~3;
  const int32_t count = (int32_t)(given->end - given->taps);
  const int32_t four_words = (kind != SINGLE ? 14 : 4 + count) + 4 * dsp_scale_words(p->scaling);
  depthwise_pixel pixel = *given;
  int32_t channel, tap;
  pixel.packed = p->packed;
  if (p->scaling >= DSP_SCALE_C) {
    for (channel = 0; channel < whole; channel += 4) {
      pixel.first = given->first + channel;
      pixel.channels = pixel.first + 4;
      finish_four(&pixel, output, channel, kind, step, p);
      pixel.packed += four_words;
    }
  } else {
    pixel.packed += (whole / 4) * four_words;
  }
  if (whole < p->channels) {
    int8_t rest[4 * DEPTHWISE_DSP_TAPS] = {0};
    const int8_t *rest_taps[DEPTHWISE_DSP_TAPS];
    for (tap = 0; tap < count; tap++) {
      for (channel = whole; channel < p->channels; channel++) {
        rest[4 * tap + channel - whole] = given->taps[tap][given->first + channel];
      }
      rest_taps[tap] = rest + 4 * tap;
    }
    pixel.taps = rest_taps;
    pixel.end = rest_taps + count;
    pixel.first = 0;
    pixel.channels = 4;
    finish_four(&pixel, output, whole, kind, step, p);
  }
}

/* What all pixels have in common. */
static void start_pixels(depthwise_pixel *pixel, const int8_t **taps, int32_t count, const depthwise_dsp_params *p)
{
  pixel->packed = p->packed;
  pixel->taps = taps;
  pixel->end = taps + count;
  pixel->limits = dsp_limits_of(p->scaling, p->output_zero, p->activation_min, p->activation_max);
  pixel->scaling = p->scaling;
}

/* The input's row, or none where it is outside. */
static const int8_t *row_at(const int8_t *input, int32_t row, const depthwise_dsp_params *p)
{
  return row >= 0 && row < p->input_height ? input + row * p->input_width * p->channels : NULL;
}

static const int8_t *pixel_at(const int8_t *row, int32_t column, const int8_t *zeros, const depthwise_dsp_params *p)
{
  return row != NULL && column >= 0 && column < p->input_width ? row + column * p->channels : zeros;
}

/* Any kernel. `make`: what makes whole fours of channels, in one way of scaling; NULL: C code makes all. */
static void depthwise_any(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p,
                          pixel_maker make)
{
  const int32_t taps_used = p->kernel_height * p->kernel_width;
  const int32_t whole = make != NULL ? p->channels & ~3 : 0;
  const int8_t *taps[DEPTHWISE_DSP_TAPS];
  int32_t row, column, i, j;
  depthwise_pixel pixel;
  memset(scratch, p->input_zero, (size_t)p->channels);
  start_pixels(&pixel, taps, taps_used + (taps_used & 1), p);
  pixel.step = 0;
  pixel.first = 0;
  pixel.channels = whole;
  taps[taps_used] = scratch;
  for (row = 0; row < p->output_height; row++) {
    for (column = 0; column < p->output_width; column++) {
      const int32_t left = column * p->stride_width - p->pad_left;
      const int8_t **tap = taps;
      for (i = 0; i < p->kernel_height; i++) {
        const int8_t *line = row_at(input, row * p->stride_height - p->pad_top + i * p->dilation_height, p);
        for (j = 0; j < p->kernel_width; j++) {
          *tap++ = pixel_at(line, left + j * p->dilation_width, scratch, p);
        }
      }
      pixel.output = output;
      if (whole > 0) {
        make(&pixel);
      }
      if (whole < p->channels) {
        finish_in_c(&pixel, output, SINGLE, 0, p);
      }
      output += p->channels;
    }
  }
}

/* Kernel 3 x 3, two columns at once; `kind` is PAIR_1 or PAIR_2, `make` as above. */
static void depthwise_3x3_any(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p,
                              int32_t kind, pixel_maker make)
{
  const int32_t columns = 3 + p->stride_width;
  const int32_t whole = make != NULL ? p->channels & ~3 : 0;
  const int8_t *taps[16] = {scratch};
  int32_t row, column, i;
  depthwise_pixel pixel;
  memset(scratch, p->input_zero, (size_t)p->channels);
  start_pixels(&pixel, taps, kind == PAIR_1 ? 12 : 16, p);
  for (row = 0; row < p->output_height; row++) {
    const int32_t first_row = row * p->stride_height - p->pad_top;
    const int8_t *top = row_at(input, first_row, p);
    const int8_t *middle = row_at(input, first_row + p->dilation_height, p);
    const int8_t *bottom = row_at(input, first_row + 2 * p->dilation_height, p);
    const int32_t inside = top != NULL && middle != NULL && bottom != NULL;
    int32_t started = 0;
    int32_t left = -p->pad_left;
    for (column = 0; column < p->output_width; column += 2) {
      const int32_t step = column + 1 < p->output_width ? p->channels : 0;
      const int32_t shared = inside != 0 && left >= 0 && left + columns <= p->input_width;
      const int32_t origin = shared != 0 ? 0 : left;
      if (shared == 0 || started == 0) { /* all windows inside the input have the same pointers, from its edge */
        for (i = 0; i < columns; i++) {
          taps[2 * i] = pixel_at(top, origin + i, scratch, p);
          taps[2 * i + 1] = pixel_at(middle, origin + i, scratch, p);
          taps[2 * columns + i] = pixel_at(bottom, origin + i, scratch, p);
        }
        taps[15] = taps[14]; /* of stride 2: the third row's last column has nobody to share a word with */
      }
      started = shared;
      pixel.output = output;
      pixel.step = step;
      pixel.first = (left - origin) * p->channels;
      pixel.channels = pixel.first + whole;
      if (whole > 0) {
        make(&pixel);
      }
      if (whole < p->channels) {
        finish_in_c(&pixel, output, kind, step, p);
      }
      output += p->channels + step;
      left += 2 * p->stride_width;
    }
  }
}

/* The entries of one way of scaling; those that a program does not call are left out of it by the linker. */
#define ENTRIES(way, single, pair_1, pair_2)                                                                     \
  void depthwise_dsp_##way(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p)    \
  {                                                                                                              \
    depthwise_any(input, output, scratch, p, single);                                                            \
  }                                                                                                              \
  void depthwise_3x3_dsp_##way(const int8_t *input, int8_t *output, void *scratch,                               \
                               const depthwise_dsp_params *p)                                                    \
  {                                                                                                              \
    depthwise_3x3_any(input, output, scratch, p, PAIR_1, pair_1);                                                \
  }                                                                                                              \
  void depthwise_3x3_stride_2_dsp_##way(const int8_t *input, int8_t *output, void *scratch,                      \
                                        const depthwise_dsp_params *p)                                           \
  {                                                                                                              \
    depthwise_3x3_any(input, output, scratch, p, PAIR_2, pair_2);                                                \
  }

ENTRIES(c, NULL, NULL, NULL)
#if !KERNELS_DSP_ASSEMBLY
ENTRIES(relu, single, pair_3x3, pair_3x3)
ENTRIES(plain, single, pair_3x3, pair_3x3)
ENTRIES(general, single, pair_3x3, pair_3x3)
ENTRIES(float, single, pair_3x3, pair_3x3)
#elif NETWORK_ROUNDING_FLOAT
ENTRIES(float, single_float, pair_1_float, pair_2_float)
#else
ENTRIES(relu, single_relu, pair_1_relu, pair_2_relu)
ENTRIES(plain, single_plain, pair_1_plain, pair_2_plain)
ENTRIES(general, single_general, pair_1_general, pair_2_general)
#endif
