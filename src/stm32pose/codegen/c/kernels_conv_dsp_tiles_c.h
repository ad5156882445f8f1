/* kernels_conv_dsp_tiles.h in C, for processors without its instructions. Written by stm32pose. */
#ifndef KERNELS_CONV_DSP_TILES_C_H
#define KERNELS_CONV_DSP_TILES_C_H

#include "kernels_conv_dsp_tiles.h"

/* The sums of one pair of channels, those of the first channel before those of the second. */
static void pair_sums(const conv_tile *tile, const uint32_t *packed, int32_t pixels, uint32_t *sums)
{
  const uint32_t *weights = packed + 2;
  const uint32_t *column;
  int32_t pixel;
  for (pixel = 0; pixel < pixels; pixel++) {
    sums[pixel] = packed[0];
    sums[pixels + pixel] = packed[1];
  }
  for (column = tile->columns; column != tile->last; column += pixels) {
    for (pixel = 0; pixel < pixels; pixel++) {
      sums[pixel] = dsp_dual(dsp_even(*weights), column[pixel], sums[pixel]);
      sums[pixels + pixel] = dsp_dual(dsp_odd(*weights), column[pixel], sums[pixels + pixel]);
    }
    weights++;
  }
}

static void tile_scaled(const conv_tile *tile, int32_t pixels)
{
  const int32_t words = (int32_t)(tile->last - tile->columns) / pixels;
  const int32_t scale_words = dsp_scale_words(tile->scaling);
  const uint32_t *packed = tile->packed;
  uint32_t sums[8];
  int8_t *output;
  for (output = tile->output; output != tile->end; output += 2) {
    const uint32_t *scale = packed + 2 + words;
    int32_t i;
    pair_sums(tile, packed, pixels, sums);
    for (i = 0; i < 2 * pixels; i++) {
      const int32_t channel = i / pixels;
      output[(i % pixels) * tile->step + channel] =
          dsp_scale(sums[i], scale + scale_words * channel, &tile->limits, tile->scaling);
    }
    packed = scale + 2 * scale_words;
  }
}

static void tile_4_scaled(const conv_tile *tile)
{
  tile_scaled(tile, 4);
}

static void tile_1_scaled(const conv_tile *tile)
{
  tile_scaled(tile, 1);
}

static void tile_4_sums(const conv_tile *tile)
{
  uint32_t sums[8];
  pair_sums(tile, tile->packed, 4, sums);
  memcpy(tile->output, sums, sizeof sums);
}

static void tile_1_sums(const conv_tile *tile)
{
  uint32_t sums[2];
  pair_sums(tile, tile->packed, 1, sums);
  memcpy(tile->output, sums, sizeof sums);
}

static uint32_t *spread_4(const int8_t *input, uint32_t *to, int32_t step, int32_t words)
{
  int32_t word, pixel;
  for (word = 0; word < words; word++) {
    for (pixel = 0; pixel < 4; pixel++) {
      const uint32_t bytes = dsp_load(input + pixel * step + 4 * word);
      to[pixel] = dsp_even(bytes);
      to[4 + pixel] = dsp_odd(bytes);
    }
    to += 8;
  }
  return to;
}

#endif /* KERNELS_CONV_DSP_TILES_C_H */
