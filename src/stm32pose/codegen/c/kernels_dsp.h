/* The DSP instructions of Cortex-M4, M7 and M33 as functions, and how sums become outputs. Written by stm32pose.

   The kernels' inner loops are assembly where these instructions are (KERNELS_DSP_ASSEMBLY), and C with the same results
   elsewhere: that is how they are tested on other machines. */
#ifndef KERNELS_DSP_H
#define KERNELS_DSP_H

#include "kernels_common.h"

#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && !defined(KERNELS_DSP_IN_C)
#define KERNELS_DSP_ASSEMBLY 1
/* The body is assembly alone; arguments are in r0 to r3. */
#define DSP_NAKED __attribute__((naked, noinline))
#else
#define KERNELS_DSP_ASSEMBLY 0
#endif

/* How sums become outputs, chosen when the code was generated. */
enum {
  DSP_SCALE_RELU = 0,  /* two multiplications; negative results are cut off anyway, so their halves do not matter */
  DSP_SCALE_PLAIN = 1, /* the same, with halves of negative results rounded away from zero */
  DSP_SCALE_C = 2,     /* requantize() and clamp(), for everything that does not fit */
  DSP_SCALE_ONCE = 3   /* requantize_once() and clamp() */
};

/* Four bytes as a number, lowest byte first. */
static inline uint32_t dsp_load(const void *from)
{
  uint32_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

#if KERNELS_DSP_ASSEMBLY
/* {byte 0, byte 2} as two signed halves. */
static inline uint32_t dsp_even(uint32_t bytes)
{
  uint32_t halves;
  __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
  return halves;
}

/* {byte 1, byte 3} as two signed halves. */
static inline uint32_t dsp_odd(uint32_t bytes)
{
  uint32_t halves;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
  return halves;
}
#else
static inline uint32_t dsp_even(uint32_t bytes)
{
  const uint32_t low = ((bytes & 0xFFu) ^ 0x80u) - 0x80u;
  const uint32_t high = (((bytes >> 16) & 0xFFu) ^ 0x80u) - 0x80u;
  return (low & 0xFFFFu) | (high << 16);
}

static inline uint32_t dsp_odd(uint32_t bytes)
{
  return dsp_even(bytes >> 8);
}

static inline int32_t dsp_half(uint32_t halves, int32_t place)
{
  return (int32_t)(((halves >> (16 * place)) & 0xFFFFu) ^ 0x8000u) - 0x8000;
}

/* sum + the products of both halves; what goes over the top is lost, as in the instruction. */
static inline uint32_t dsp_dual(uint32_t a, uint32_t b, uint32_t sum)
{
  return sum + (uint32_t)(dsp_half(a, 0) * dsp_half(b, 0)) + (uint32_t)(dsp_half(a, 1) * dsp_half(b, 1));
}

/* high * 2^32 + a * b, divided by 2^32, halves up. */
static inline int32_t dsp_multiply_high(int32_t high, int32_t a, int32_t b)
{
  const uint64_t product = (uint64_t)((int64_t)a * b) + ((uint64_t)1 << 31);
  return (int32_t)((uint32_t)high + (uint32_t)(product >> 32));
}

/* DSP_SCALE_RELU and DSP_SCALE_PLAIN. `multiplier` is 2 * M - 2^32 for the multiplier M of requantize(), and `divider`
   2^(32 + shift): the first step is sum * M / 2^31, the second divides by 2^-shift, each to the nearest. */
static inline int8_t dsp_scale(uint32_t sum, int32_t multiplier, int32_t divider, int32_t zero, int32_t scaling)
{
  int32_t value = dsp_multiply_high((int32_t)sum, (int32_t)sum, multiplier);
  if (scaling == DSP_SCALE_PLAIN) {
    value += value >> 31;
  }
  return (int8_t)clamp(dsp_multiply_high(zero, value, divider), -128, 127);
}
#endif

/* Sums as `multiplier` and `shift` of the packed stream say; float multipliers lie there by their bits. */
static inline int32_t dsp_requantize(int32_t sum, const uint32_t *packed, int32_t once)
{
  multiplier_t multiplier;
  memcpy(&multiplier, packed, sizeof multiplier);
  return once != 0 ? requantize_once(sum, multiplier, (int32_t)packed[1])
                   : requantize(sum, multiplier, (int32_t)packed[1]);
}

#endif /* KERNELS_DSP_H */
