#include "kernels_pool_mve.h"

#include "kernels_mve.h"

/* First row or column of a window that begins at `start`, and the number of them, clipped to the input. */
static int32_t clip(int32_t start, int32_t kernel, int32_t size, int32_t *count)
{
  const int32_t from = (start < 0) ? 0 : start;
  const int32_t to = (start + kernel < size) ? start + kernel : size;
  *count = (to > from) ? to - from : 0;
  return from;
}

void max_pool_int8_mve(const int8_t *input, int8_t *output, const pool_params *p)
{
  const int32_t channels = p->channels;
  const int32_t row_step = p->input_width * channels;
  for (int32_t y = 0; y < p->output_height; y++) {
    int32_t rows;
    const int32_t top = clip(y * p->stride_height - p->pad_top, p->kernel_height, p->input_height, &rows);
    for (int32_t x = 0; x < p->output_width; x++) {
      int32_t columns;
      const int32_t left = clip(x * p->stride_width - p->pad_left, p->kernel_width, p->input_width, &columns);
      const int8_t *window = input + top * row_step + left * channels;
      for (int32_t at = 0; at < channels; at += 16) {
        const mve_pred16_t there = vctp8q((uint32_t)(channels - at));
        const int8_t *row_from = window + at;
        int8x16_t largest = vdupq_n_s8((int8_t)p->low);
        for (int32_t row = 0; row < rows; row++) {
          const int8_t *from = row_from;
          for (int32_t column = 0; column < columns; column++) {
            largest = vmaxq_s8(largest, vldrbq_z_s8(from, there));
            from += channels;
          }
          row_from += row_step;
        }
        vstrbq_p_s8(output + at, vminq_s8(largest, vdupq_n_s8((int8_t)p->high)), there);
      }
      output += channels;
    }
  }
}
