#include "kernels_resize_mve.h"

#include "kernels_mve.h"

/* The four input pixels around an output pixel, and their weights, of 2^20 together. */
typedef struct {
  const int8_t *pixel[4];
  int32_t weight[4];
} mixed_t;

/* Right shifts of vrshr round halves up, those of the reference away from zero: vqdmlah takes one off negative sums. */
MVE_INLINE int32x4_t mix_4(const mixed_t *mixed, int32_t at, mve_pred16_t there)
{
  int32x4_t sums = vmulq_n_s32(vldrbq_z_s32(mixed->pixel[0] + at, there), mixed->weight[0]);
  sums = vmlaq_n_s32(sums, vldrbq_z_s32(mixed->pixel[1] + at, there), mixed->weight[1]);
  sums = vmlaq_n_s32(sums, vldrbq_z_s32(mixed->pixel[2] + at, there), mixed->weight[2]);
  sums = vmlaq_n_s32(sums, vldrbq_z_s32(mixed->pixel[3] + at, there), mixed->weight[3]);
  return vrshrq_n_s32(vqdmlahq_n_s32(sums, sums, 1), 20);
}

void resize_bilinear_int8_mve(const int8_t *input, int8_t *output, const resize_bilinear_params *p)
{
  for (int32_t y = 0; y < p->output_height; y++) {
    const int8_t *upper = input + p->rows[3 * y];
    const int8_t *lower = input + p->rows[3 * y + 1];
    const int32_t down = p->rows[3 * y + 2];
    const int32_t *column = p->columns;
    for (int32_t x = 0; x < p->output_width; x++) {
      const mixed_t mixed = {{upper + column[0], upper + column[1], lower + column[0], lower + column[1]},
                             {(1024 - down) * (1024 - column[2]), (1024 - down) * column[2], down * (1024 - column[2]),
                              down * column[2]}};
      for (int32_t at = 0; at < p->channels; at += 4) {
        const mve_pred16_t there = vctp32q((uint32_t)(p->channels - at));
        vstrbq_p_s32(output + at, mix_4(&mixed, at, there), there);
      }
      output += p->channels;
      column += 3;
    }
  }
}

/* Sixteenths to bytes, halves away from zero; stored in the lower halves of the lanes. */
MVE_INLINE void store_8(int8_t *to, int16x8_t sixteenths, bool whole, mve_pred16_t there)
{
  const int16x8_t made = vrshrq_n_s16(vqdmlahq_n_s16(sixteenths, sixteenths, 1), 4);
  if (whole) {
    vstrbq_s16(to, made);
  } else {
    vstrbq_p_s16(to, made, there);
  }
}

MVE_INLINE int16x8_t load_8(const int8_t *from, bool whole, mve_pred16_t there)
{
  return whole ? vldrbq_s16(from) : vldrbq_z_s16(from, there);
}

/* Where four input pixels a b / c d meet, and the four output pixels around that corner. At an edge of the image a step
   is 0: the two pixels are one. */
typedef struct {
  const int8_t *upper;
  const int8_t *lower;
  int32_t input_step;
  int8_t *top;
  int8_t *bottom;
  int32_t output_step;
} corner_t;

/* Eight channels, or those that are `there`. */
MVE_INLINE void make_8(corner_t corner, int32_t at, bool whole, mve_pred16_t there)
{
  const int16x8_t a = load_8(corner.upper + at, whole, there);
  const int16x8_t b = load_8(corner.upper + corner.input_step + at, whole, there);
  const int16x8_t c = load_8(corner.lower + at, whole, there);
  const int16x8_t d = load_8(corner.lower + corner.input_step + at, whole, there);
  const int16x8_t upper_left = vmlaq_n_s16(c, a, 3);
  const int16x8_t lower_left = vmlaq_n_s16(a, c, 3);
  const int16x8_t upper_right = vmlaq_n_s16(d, b, 3);
  const int16x8_t lower_right = vmlaq_n_s16(b, d, 3);
  store_8(corner.top + at, vmlaq_n_s16(upper_right, upper_left, 3), whole, there);
  store_8(corner.top + corner.output_step + at, vmlaq_n_s16(upper_left, upper_right, 3), whole, there);
  store_8(corner.bottom + at, vmlaq_n_s16(lower_right, lower_left, 3), whole, there);
  store_8(corner.bottom + corner.output_step + at, vmlaq_n_s16(lower_left, lower_right, 3), whole, there);
}

static void make_corner(corner_t corner, int32_t channels)
{
  int32_t at = 0;
  for (; at + 8 <= channels; at += 8) {
    make_8(corner, at, true, 0);
  }
  if (at < channels) {
    make_8(corner, at, false, vctp16q((uint32_t)(channels - at)));
  }
}

void resize_double_int8_mve(const int8_t *input, int8_t *output, const resize_double_params *p)
{
  const int32_t channels = p->channels;
  const int32_t input_row = p->input_width * channels;
  const int32_t output_row = 2 * input_row;
  for (int32_t y = 0; y <= p->input_height; y++) {
    corner_t corner;
    corner.upper = input + ((y > 0) ? y - 1 : 0) * input_row;
    corner.lower = input + ((y < p->input_height) ? y : y - 1) * input_row;
    corner.top = output + ((y > 0) ? 2 * y - 1 : 0) * output_row;
    corner.bottom = output + ((y < p->input_height) ? 2 * y : 2 * y - 1) * output_row;
    corner.input_step = 0;
    corner.output_step = 0;
    make_corner(corner, channels);
    corner.top += channels;
    corner.bottom += channels;
    corner.input_step = channels;
    corner.output_step = channels;
    for (int32_t x = 1; x < p->input_width; x++) {
      make_corner(corner, channels);
      corner.upper += channels;
      corner.lower += channels;
      corner.top += 2 * channels;
      corner.bottom += 2 * channels;
    }
    corner.input_step = 0;
    corner.output_step = 0;
    make_corner(corner, channels);
  }
}
