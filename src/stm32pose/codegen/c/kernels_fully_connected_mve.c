#include "kernels_fully_connected_mve.h"

#include "kernels_mve.h"

void fully_connected_mve(const int8_t *input, int8_t *output, const fully_connected_mve_params *p)
{
  const int32_t depth = p->inputs;
  const int32x4_t low = vdupq_n_s32(p->activation_min);
  const int32x4_t high = vdupq_n_s32(p->activation_max);
  for (int32_t row = 0; row < p->rows; row++) {
    for (int32_t at = 0; at < p->outputs; at += 4) {
      /* Outputs beyond the last repeat it; they are not stored. */
      const int32_t most = p->outputs - 1 - at;
      const int8_t *weights = p->weights + at * depth;
      const mve_pred16_t lanes = vctp32q((uint32_t)(most + 1));
      int32x4_t made = mve_dot_4(input, weights, weights + clamp(most, 0, 1) * depth,
                                 weights + clamp(most, 0, 2) * depth, weights + clamp(most, 0, 3) * depth, depth, 0);
      made = vaddq_s32(made, vldrwq_z_s32(p->bias + at, lanes));
      made = mve_requantize_once_channels(made, p->multiplier, p->shift, at, lanes);
      made = vminq_s32(vmaxq_s32(vaddq_n_s32(made, p->output_zero), low), high);
      vstrbq_p_s32(output + at, made, lanes);
    }
    input += depth;
    output += p->outputs;
  }
}
