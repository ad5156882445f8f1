#include "kernels_reduce_mve.h"

#include "kernels_mve.h"

static int32x4_t sums_of(const int8_t *first, mve_pred16_t there, const reduce_params *p)
{
  int32x4_t sums = vdupq_n_s32(p->offset);
  for (int32_t i0 = 0; i0 < p->reduced[0]; i0++) {
    for (int32_t i1 = 0; i1 < p->reduced[1]; i1++) {
      const int8_t *from = first + i0 * p->reduced_steps[0] + i1 * p->reduced_steps[1];
      for (int32_t i2 = 0; i2 < p->reduced[2]; i2++) {
        sums = vaddq_s32(sums, vldrbq_z_s32(from, there));
        from += p->reduced_steps[2];
      }
    }
  }
  return sums;
}

void reduce_int8_mve(const int8_t *input, int8_t *output, const reduce_params *p)
{
  const int32x4_t low = vdupq_n_s32(-128);
  const int32x4_t high = vdupq_n_s32(127);
  for (int32_t i0 = 0; i0 < p->kept[0]; i0++) {
    for (int32_t i1 = 0; i1 < p->kept[1]; i1++) {
      const int8_t *first = input + i0 * p->kept_steps[0] + i1 * p->kept_steps[1];
      for (int32_t left = p->kept[2]; left > 0; left -= 4) {
        const mve_pred16_t there = vctp32q((uint32_t)left);
        const int32x4_t scaled = vqrdmulhq_n_s32(sums_of(first, there, p), p->multiplier);
        const int32x4_t steps = vrshlq_n_s32(vqdmlahq_n_s32(scaled, scaled, (p->shift < 0) ? 1 : 0), p->shift);
        vstrbq_p_s32(output, vminq_s32(vmaxq_s32(vaddq_n_s32(steps, p->zero), low), high), there);
        first += 4;
        output += (left < 4) ? left : 4;
      }
    }
  }
}
