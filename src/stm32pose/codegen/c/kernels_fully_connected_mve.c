#include "kernels_fully_connected_mve.h"

#include "kernels_mve.h"

void fully_connected_mve(const int8_t *input, int8_t *output, const fully_connected_mve_params *p)
{
  const int32_t depth = p->inputs;
  const int32x4_t low = vdupq_n_s32(p->activation_min);
  const int32x4_t high = vdupq_n_s32(p->activation_max);
  for (int32_t row = 0; row < p->rows; row++) {
    for (int32_t at = 0; at < p->outputs; at += 4) {
      const int32_t left = p->outputs - at;
      const mve_pred16_t lanes = vctp32q((uint32_t)left);
      int32x4_t made = mve_dot_rows(input, p->weights + at * depth, left, depth);
      made = vaddq_s32(made, vldrwq_z_s32(p->bias + at, lanes));
      made = mve_requantize_once_channels(made, p->multiplier, p->shift, at, lanes);
      made = vminq_s32(vmaxq_s32(vaddq_n_s32(made, p->output_zero), low), high);
      vstrbq_p_s32(output + at, made, lanes);
    }
    input += depth;
    output += p->outputs;
  }
}
