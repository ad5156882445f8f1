/* The DSP instructions of Cortex-M4, M7 and M33 as functions, and how sums become outputs. Written by stm32pose.

   The kernels' inner loops are assembly where these instructions are (KERNELS_DSP_ASSEMBLY), and C with the same
   results elsewhere: that is how they are tested on other machines. */
#ifndef KERNELS_DSP_H
#define KERNELS_DSP_H

#include "kernels_common.h"

#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && \
    (defined(__ARM_FP) || !NETWORK_ROUNDING_FLOAT)
#define KERNELS_DSP_ASSEMBLY 1
/* The body is assembly alone; arguments are in r0 to r3. GCC must not look into it: it would find that no register is
   changed, and keep values in r0 to r3 over a call. */
#if defined(__clang__)
#define DSP_NAKED __attribute__((naked, noinline))
#else
#define DSP_NAKED __attribute__((naked, noipa))
#endif
#else
#define KERNELS_DSP_ASSEMBLY 0
#endif

/* How sums become outputs, chosen when the code was generated. The numbers that follow the weights of each channel:
   RELU, PLAIN: 2 * M - 2^32, of the multiplier M of requantize(); 2^(32 + shift).
   GENERAL: the same first number; bits to shift sums left; 1 where the shift is 0 or more; -2^(32 + shift), -2^31
   there.
   FLOAT: the factor's bits; 0.
   C, ONCE, and in every way for channels left over at the end: multiplier (a factor's bits); shift; 0 up to as many. */
enum {
  DSP_SCALE_RELU = 0,    /* shifts of -2 and less; negative results are cut off, so nobody sees how they are rounded */
  DSP_SCALE_PLAIN = 1,   /* shifts of -2 and less */
  DSP_SCALE_GENERAL = 2, /* all shifts and clamps */
  DSP_SCALE_FLOAT = 3,   /* the same of networks from ONNX */
  DSP_SCALE_C = 4,       /* requantize() and clamp(), for sums that do not fit */
  DSP_SCALE_ONCE = 5     /* requantize_once() and clamp() */
};

/* Numbers of a channel after its weights. */
static inline int32_t dsp_scale_words(int32_t scaling)
{
  return scaling == DSP_SCALE_GENERAL ? 4 : 2;
}

/* What is done to scaled sums: `zero` is added, then `middle`, then `back`, with a cut to -128..127 after the first
   two. Where only that cut is wanted, `zero` is the output's zero point and the others are not used. */
typedef struct {
  int32_t zero;
  int32_t middle;
  int32_t back;
} dsp_limits;

static inline dsp_limits dsp_limits_of(int32_t scaling, int32_t zero, int32_t low, int32_t high)
{
  dsp_limits limits = {zero, 0, 0};
  if (scaling == DSP_SCALE_GENERAL || scaling == DSP_SCALE_FLOAT) {
    limits.zero = zero + 127 - high;  /* so that `high` is cut off at 127 */
    limits.middle = high - low - 255; /* and `low` at -128 */
    limits.back = low + 128;
  }
  return limits;
}

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

/* sum + the products of both halves. */
static inline uint32_t dsp_dual(uint32_t a, uint32_t b, uint32_t sum)
{
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
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

/* high * 2^32 - a * b, divided by 2^32, halves up. */
static inline int32_t dsp_multiply_high_less(int32_t high, int32_t a, int32_t b)
{
  const uint64_t product = (uint64_t)(-((int64_t)a * b)) + ((uint64_t)1 << 31);
  return (int32_t)((uint32_t)high + (uint32_t)(product >> 32));
}

/* All ways but C and ONCE; `scale` are the channel's numbers. */
static inline int8_t dsp_scale(uint32_t sum, const uint32_t *scale, const dsp_limits *limits, int32_t scaling)
{
  int32_t value = (int32_t)sum;
#if NETWORK_ROUNDING_FLOAT
  float factor;
  memcpy(&factor, scale, sizeof factor);
  value = round_even((float)value * factor) + limits->zero;
#else
  if (scaling == DSP_SCALE_GENERAL) {
    value = shift_left(value, (int32_t)scale[1]);
    value = shift_left(dsp_multiply_high(value, value, (int32_t)scale[0]), (int32_t)scale[2]);
    value = dsp_multiply_high_less(limits->zero, value + (value >> 31), (int32_t)scale[3]);
  } else {
    value = dsp_multiply_high(value, value, (int32_t)scale[0]);
    if (scaling == DSP_SCALE_PLAIN) {
      value += value >> 31;
    }
    return (int8_t)clamp(dsp_multiply_high(limits->zero, value, (int32_t)scale[1]), -128, 127);
  }
#endif
  (void)scaling;
  value = clamp(value, -128, 127) + limits->middle;
  return (int8_t)(clamp(value, -128, 127) + limits->back);
}
#endif

/* C and ONCE: the first two of the channel's numbers are multiplier and shift. */
static inline int32_t dsp_requantize(int32_t sum, const uint32_t *packed, int32_t once)
{
  multiplier_t multiplier;
  memcpy(&multiplier, packed, sizeof multiplier);
  return once != 0 ? requantize_once(sum, multiplier, (int32_t)packed[1])
                   : requantize(sum, multiplier, (int32_t)packed[1]);
}

#endif /* KERNELS_DSP_H */
