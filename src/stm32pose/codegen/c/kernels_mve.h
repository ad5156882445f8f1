/* What the kernels for Helium share: scaling of four sums at a time, dot products, copies. Written by stm32pose. */
#ifndef KERNELS_MVE_H
#define KERNELS_MVE_H

#include <arm_mve.h>
#include <stdbool.h>

#include "kernels_common.h"

#define MVE_INLINE static inline __attribute__((always_inline))

/* {a, b, c, d}; GCC builds it through the stack. */
MVE_INLINE int32x4_t mve_four(int32_t a, int32_t b, int32_t c, int32_t d)
{
  int32x4_t made;
  __asm__("vmov %q[made][2], %q[made][0], %[a], %[c]\n\t"
          "vmov %q[made][3], %q[made][1], %[b], %[d]"
          : [made] "=&w"(made)
          : [a] "r"(a), [b] "r"(b), [c] "r"(c), [d] "r"(d));
  return made;
}

/* {0, step, 2 * step, 3 * step} */
MVE_INLINE uint32x4_t mve_steps(int32_t step)
{
  return vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
}

/* Each number saturated to 16 bits, in the lower half of its lane. In assembly, since GCC would copy the register. */
MVE_INLINE int16x8_t mve_halve(int32x4_t wide)
{
  __asm__("vqmovnb.s32 %q[it], %q[it]" : [it] "+w"(wide));
  return vreinterpretq_s16_s32(wide);
}

/* Each number saturated to 8 bits, in the lower half of its lane. */
MVE_INLINE int8x16_t mve_halve_again(int16x8_t wide)
{
  __asm__("vqmovnb.s16 %q[it], %q[it]" : [it] "+w"(wide));
  return vreinterpretq_s8_s16(wide);
}

/* Bytes brought between `low` and `high`. */
static inline void mve_limit(int8_t *bytes, int32_t count, int32_t low, int32_t high)
{
  const int8x16_t least = vdupq_n_s8((int8_t)low);
  const int8x16_t most = vdupq_n_s8((int8_t)high);
  for (; count > 0; count -= 16) {
    const mve_pred16_t there = vctp8q((uint32_t)count);
    vstrbq_p_s8(bytes, vminq_s8(vmaxq_s8(vldrbq_z_s8(bytes, there), least), most), there);
    bytes += 16;
  }
}

/* Four sums of one channel, as requantize() of each; shift <= 0.

   Right shifts of vrshl round halves up, those of the reference away from zero: one is taken off negative numbers
   before, by x + ((2 * x * 1) >> 32), but not where nothing is shifted. */
MVE_INLINE int32x4_t mve_requantize(int32x4_t sums, multiplier_t multiplier, int32_t shift)
{
#if NETWORK_ROUNDING_FLOAT
  (void)shift;
  return vcvtnq_s32_f32(vmulq_n_f32(vcvtq_f32_s32(sums), multiplier));
#else
  const int32x4_t high = vqrdmulhq_n_s32(sums, multiplier);
  return vrshlq_n_s32(vqdmlahq_n_s32(high, high, (int32_t)((uint32_t)shift >> 31)), shift);
#endif
}

/* The same for any shift. */
MVE_INLINE int32x4_t mve_requantize_any(int32x4_t sums, multiplier_t multiplier, int32_t shift)
{
#if NETWORK_ROUNDING_FLOAT
  return mve_requantize(sums, multiplier, shift);
#else
  const int32x4_t left = vshlq_r_s32(sums, (shift > 0) ? shift : 0);
  return mve_requantize(left, multiplier, (shift < 0) ? shift : 0);
#endif
}

/* Sums of four channels in a row, from channel `at` on, any shifts; only those of `lanes` are read. */
MVE_INLINE int32x4_t mve_requantize_channels(int32x4_t sums, const multiplier_t *multiplier, const int8_t *shift,
                                             int32_t at, mve_pred16_t lanes)
{
#if NETWORK_ROUNDING_FLOAT
  (void)shift;
  return vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), vldrwq_z_f32(multiplier + at, lanes)));
#else
  const int32x4_t shifts = vldrbq_z_s32(shift + at, lanes);
  const int32x4_t zeros = vdupq_n_s32(0);
  const int32x4_t left = vshlq_s32(sums, vmaxq_s32(shifts, zeros));
  const int32x4_t high = vqrdmulhq_s32(left, vldrwq_z_s32(multiplier + at, lanes));
  return vrshlq_s32(vaddq_s32(high, vshrq_n_s32(vandq_s32(high, shifts), 31)), vminq_s32(shifts, zeros));
#endif
}

/* As mve_requantize_channels, but rounded once, halves up, as requantize_once(); shift < 0 or multiplier 0. */
MVE_INLINE int32x4_t mve_requantize_once_channels(int32x4_t sums, const multiplier_t *multiplier, const int8_t *shift,
                                                  int32_t at, mve_pred16_t lanes)
{
#if NETWORK_ROUNDING_FLOAT
  return mve_requantize_channels(sums, multiplier, shift, at, lanes);
#else
  /* What vqdmulh cuts off does not matter: it is less than what the shift cuts off. */
  return vrshlq_s32(vqdmulhq_s32(sums, vldrwq_z_s32(multiplier + at, lanes)), vldrbq_z_s32(shift + at, lanes));
#endif
}

/* Dot products of `a` with b0 to b3, `depth` > 0 numbers each, added to `start`. Nothing beyond them is read. */
MVE_INLINE int32x4_t mve_dot_4(const int8_t *a, const int8_t *b0, const int8_t *b1, const int8_t *b2, const int8_t *b3,
                               int32_t depth, int32_t start)
{
  int32_t s0 = start;
  int32_t s1 = start;
  int32_t s2 = start;
  int32_t s3 = start;
  __asm__ volatile(
      "dlstp.8 lr, %[depth]\n"
      "1:\n\t"
      "vldrb.8 q0, [%[a]], #16\n\t"
      "vldrb.8 q1, [%[b0]], #16\n\t"
      "vmladava.s8 %[s0], q0, q1\n\t"
      "vldrb.8 q2, [%[b1]], #16\n\t"
      "vmladava.s8 %[s1], q0, q2\n\t"
      "vldrb.8 q1, [%[b2]], #16\n\t"
      "vmladava.s8 %[s2], q0, q1\n\t"
      "vldrb.8 q2, [%[b3]], #16\n\t"
      "vmladava.s8 %[s3], q0, q2\n\t"
      "letp lr, 1b"
      : [a] "+r"(a), [b0] "+r"(b0), [b1] "+r"(b1), [b2] "+r"(b2), [b3] "+r"(b3), [s0] "+Te"(s0), [s1] "+Te"(s1),
        [s2] "+Te"(s2), [s3] "+Te"(s3)
      : [depth] "r"(depth)
      : "q0", "q1", "q2", "lr", "memory");
  return mve_four(s0, s1, s2, s3);
}

/* Dot products of `vector` with four rows of `depth` > 0 numbers each. Of `count` < 4 rows the last is taken again. */
MVE_INLINE int32x4_t mve_dot_rows(const int8_t *vector, const int8_t *rows, int32_t count, int32_t depth)
{
  const int8_t *row1 = rows + ((count > 1) ? depth : 0);
  const int8_t *row2 = row1 + ((count > 2) ? depth : 0);
  const int8_t *row3 = row2 + ((count > 3) ? depth : 0);
  return mve_dot_4(vector, rows, row1, row2, row3, depth, 0);
}

/* Copy `count` bytes, from the first to the last; returns the end of the copy. */
MVE_INLINE int8_t *mve_copy(int8_t *to, const int8_t *from, int32_t count)
{
  int8_t *at = to;
  __asm__ volatile(
      "wlstp.8 lr, %[count], 2f\n"
      "1:\n\t"
      "vldrb.8 q0, [%[from]], #16\n\t"
      "vstrb.8 q0, [%[at]], #16\n\t"
      "letp lr, 1b\n"
      "2:"
      : [at] "+r"(at), [from] "+r"(from)
      : [count] "r"(count)
      : "q0", "lr", "memory");
  return to + count;
}

/* Set `count` bytes; returns their end. */
MVE_INLINE int8_t *mve_fill(int8_t *to, int32_t value, int32_t count)
{
  int8_t *at = to;
  __asm__ volatile(
      "vdup.8 q0, %[value]\n\t"
      "wlstp.8 lr, %[count], 2f\n"
      "1:\n\t"
      "vstrb.8 q0, [%[at]], #16\n\t"
      "letp lr, 1b\n"
      "2:"
      : [at] "+r"(at)
      : [value] "r"(value), [count] "r"(count)
      : "q0", "lr", "memory");
  return to + count;
}

#endif /* KERNELS_MVE_H */
