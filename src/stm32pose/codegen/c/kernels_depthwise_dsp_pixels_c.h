/* kernels_depthwise_dsp_pixels.h in C, for processors without its instructions. Written by stm32pose. */
#ifndef KERNELS_DEPTHWISE_DSP_PIXELS_C_H
#define KERNELS_DEPTHWISE_DSP_PIXELS_C_H

#include "kernels_depthwise_dsp_pixels.h"

/* The bytes of channels a and b of two pixels, a of both in the even places; of c and d where `upper` is 1. */
static uint32_t mix(const int8_t *first, const int8_t *second, int32_t upper)
{
  const uint32_t one = dsp_load(first) >> (16 * upper);
  const uint32_t two = dsp_load(second) >> (16 * upper);
  return (one & 0xFFFFu) | (two << 16);
}

/* Sums of two channels, `channel` after the first, of two pixels: second pixel a, b, first pixel a, b. */
static void sums_3x3(const depthwise_pixel *pixel, const uint32_t *packed, int32_t channel, uint32_t *sums)
{
  const int32_t upper = (channel >> 1) & 1;
  const int32_t four = pixel->first + (channel & ~3);
  const int32_t mixed = (int32_t)(pixel->end - pixel->taps) / 2; /* 6 of stride 1, 8 of stride 2 */
  const int32_t stride = mixed / 2 - 2;
  uint32_t x[8];
  int32_t i, j, k;
  for (i = 0; i < mixed; i++) {
    x[i] = mix(pixel->taps[2 * i] + four, pixel->taps[2 * i + 1] + four, upper);
  }
  for (k = 0; k < 2; k++) {
    uint32_t columns[8], weights[5], first = packed[k], second = packed[k];
    const uint32_t *third = columns + 3 + stride;
    for (i = 0; i < mixed; i++) {
      columns[i] = k == 0 ? dsp_even(x[i]) : dsp_odd(x[i]);
    }
    for (i = 0; i < 5; i++) {
      weights[i] = k == 0 ? dsp_even(packed[2 + i]) : dsp_odd(packed[2 + i]);
    }
    for (j = 0; j < 3; j++) {
      first = dsp_dual(columns[j], weights[j], first);
      second = dsp_dual(columns[j + stride], weights[j], second);
    }
    first = dsp_dual(third[0], weights[3], first);
    first += (uint32_t)(dsp_half(third[1], 0) * dsp_half(weights[4], 1));
    if (stride == 1) {
      second += (uint32_t)(dsp_half(third[0], 1) * dsp_half(weights[3], 0));
      second = dsp_dual(third[1], weights[4], second);
    } else {
      second = dsp_dual(third[1], weights[3], second);
      second += (uint32_t)(dsp_half(third[2], 0) * dsp_half(weights[4], 1));
    }
    sums[k] = second;
    sums[2 + k] = first;
  }
}

static void pair_3x3(const depthwise_pixel *pixel)
{
  const int32_t scale_words = dsp_scale_words(pixel->scaling);
  const uint32_t *packed = pixel->packed;
  int32_t channel, i;
  for (channel = 0; channel < pixel->channels - pixel->first; channel += 2) {
    uint32_t sums[4];
    sums_3x3(pixel, packed, channel, sums);
    packed += 7;
    for (i = 0; i < 4; i++) {
      pixel->output[(i < 2 ? pixel->step : 0) + channel + (i & 1)] =
          dsp_scale(sums[i], packed + scale_words * (i & 1), &pixel->limits, pixel->scaling);
    }
    packed += 2 * scale_words;
  }
}

static void pair_sums(const depthwise_pixel *pixel)
{
  uint32_t sums[8];
  sums_3x3(pixel, pixel->packed, 0, sums);
  sums_3x3(pixel, pixel->packed + 7 + pixel->step / 4, 2, sums + 4);
  memcpy(pixel->output, sums, sizeof sums);
}

static const uint32_t *sums_1(const depthwise_pixel *pixel, const uint32_t *packed, int32_t channel, uint32_t *sums)
{
  const int8_t **tap;
  memcpy(sums, packed, 4 * sizeof *sums);
  packed += 4;
  for (tap = pixel->taps; tap != pixel->end; tap += 2) {
    int32_t upper;
    for (upper = 0; upper < 2; upper++) {
      const uint32_t x = mix(tap[0] + pixel->first + channel, tap[1] + pixel->first + channel, upper);
      sums[2 * upper] = dsp_dual(dsp_even(x), dsp_even(*packed), sums[2 * upper]);
      sums[2 * upper + 1] = dsp_dual(dsp_odd(x), dsp_odd(*packed), sums[2 * upper + 1]);
      packed++;
    }
  }
  return packed;
}

static void single(const depthwise_pixel *pixel)
{
  const int32_t scale_words = dsp_scale_words(pixel->scaling);
  const uint32_t *packed = pixel->packed;
  int32_t channel, i;
  for (channel = 0; channel < pixel->channels - pixel->first; channel += 4) {
    uint32_t sums[4];
    packed = sums_1(pixel, packed, channel, sums);
    for (i = 0; i < 4; i++) {
      pixel->output[channel + i] = dsp_scale(sums[i], packed + scale_words * i, &pixel->limits, pixel->scaling);
    }
    packed += 4 * scale_words;
  }
}

static void single_sums(const depthwise_pixel *pixel)
{
  uint32_t sums[4];
  (void)sums_1(pixel, pixel->packed, 0, sums);
  memcpy(pixel->output, sums, sizeof sums);
}

#endif /* KERNELS_DEPTHWISE_DSP_PIXELS_C_H */
