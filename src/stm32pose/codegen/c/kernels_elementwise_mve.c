#include "kernels_elementwise_mve.h"

#include "kernels_mve.h"

/* What is the same for all elements. */
typedef struct {
  int32_t multiplier;
  int32_t shift;
  int32_t away; /* from zero: see mve_requantize() */
  int32_t zero;
  int32x4_t low;
  int32x4_t high;
} finish_t;

static inline finish_t finish_of(const elementwise_params *p)
{
  const finish_t finish = {p->multiplier, p->shift, (p->shift < 0) ? 1 : 0, p->zero, vdupq_n_s32(p->low),
                           vdupq_n_s32(p->high)};
  return finish;
}

/* From the upper half of a product to the stored number. */
MVE_INLINE int32x4_t finished(int32x4_t scaled, finish_t finish)
{
  const int32x4_t steps = vrshlq_n_s32(vqdmlahq_n_s32(scaled, scaled, finish.away), finish.shift);
  return vminq_s32(vmaxq_s32(vaddq_n_s32(steps, finish.zero), finish.low), finish.high);
}

MVE_INLINE int32x4_t load_4(const int8_t *from, bool whole, mve_pred16_t there)
{
  return whole ? vldrbq_s32(from) : vldrbq_z_s32(from, there);
}

/* Sums of four elements. They are doubled, so that the upper half of the product, rounded, is what is wanted. */
MVE_INLINE int32x4_t add_4(const int8_t *a, const int8_t *b, bool whole, mve_pred16_t there, int32x4_t multiplier,
                           finish_t finish, const elementwise_params *p)
{
  const uint8_t *bytes = (const uint8_t *)b;
  const uint32x4_t place = whole ? vldrbq_u32(bytes) : vldrbq_z_u32(bytes, there);
  const int32x4_t doubled = vmlaq_n_s32(vldrwq_gather_shifted_offset_s32(p->table, place), load_4(a, whole, there),
                                        p->factor);
  return finished(vrmulhq_s32(doubled, multiplier), finish);
}

void add_int8_mve(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  const finish_t finish = finish_of(p);
  const int32x4_t multiplier = vdupq_n_s32(p->multiplier);
  int32_t left = p->length;
  for (; left >= 4; left -= 4) {
    vstrbq_s32(output, add_4(input0, input1, true, 0, multiplier, finish, p));
    input0 += 4;
    input1 += 4;
    output += 4;
  }
  if (left > 0) {
    const mve_pred16_t there = vctp32q((uint32_t)left);
    vstrbq_p_s32(output, add_4(input0, input1, false, there, multiplier, finish, p), there);
  }
}

MVE_INLINE int32x4_t mul_4(const int8_t *a, const int8_t *b, bool whole, mve_pred16_t there, finish_t finish,
                           const elementwise_params *p)
{
  const int32x4_t difference0 = vsubq_n_s32(load_4(a, whole, there), p->zero0);
  const int32x4_t difference1 = vsubq_n_s32(load_4(b, whole, there), p->zero1);
  return finished(vqrdmulhq_n_s32(vmulq_s32(difference0, difference1), finish.multiplier), finish);
}

void mul_int8_mve(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  const finish_t finish = finish_of(p);
  int32_t left = p->length;
  for (; left >= 4; left -= 4) {
    vstrbq_s32(output, mul_4(input0, input1, true, 0, finish, p));
    input0 += 4;
    input1 += 4;
    output += 4;
  }
  if (left > 0) {
    const mve_pred16_t there = vctp32q((uint32_t)left);
    vstrbq_p_s32(output, mul_4(input0, input1, false, there, finish, p), there);
  }
}
