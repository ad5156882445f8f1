/* What every kernel shares: rounding, clamping, and reading numbers from bytes. Written by stm32pose. */
#ifndef KERNELS_COMMON_H
#define KERNELS_COMMON_H

#include <stdint.h>
#include <string.h>

#include "network_config.h"

/* Numbers of more than one byte lie in the arena as bytes; these compile to one load or store. */
static inline float load_float(const void *from)
{
  float value;
  memcpy(&value, from, sizeof value);
  return value;
}

static inline void store_float(void *to, float value)
{
  memcpy(to, &value, sizeof value);
}

static inline int32_t load_int32(const void *from)
{
  int32_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

static inline void store_int32(void *to, int32_t value)
{
  memcpy(to, &value, sizeof value);
}

static inline int32_t clamp(int32_t value, int32_t low, int32_t high)
{
  return value < low ? low : value > high ? high : value;
}

/* value << bits; what goes over the top is lost, as in the reference. 0 <= bits < 32. */
static inline int32_t shift_left(int32_t value, int32_t bits)
{
  return (int32_t)((uint32_t)value << bits);
}

/* value / 2^bits, halves away from zero. 0 <= bits < 32. */
static inline int32_t shift_right_rounded(int32_t value, int32_t bits)
{
  const int32_t mask = (int32_t)(((uint32_t)1 << bits) - 1u);
  const int32_t rest = value & mask;
  const int32_t half = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> bits) + (rest > half ? 1 : 0);
}

/* a * b / 2^31, halves up: gemmlowp's SaturatingRoundingDoublingHighMul, but for a = b = -2^31, which no multiplier is. */
static inline int32_t multiply_high(int32_t a, int32_t b)
{
  return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* value * multiplier / 2^31 * 2^shift, rounded twice as LiteRT's reference kernels do. */
static inline int32_t scale_by(int32_t value, int32_t multiplier, int32_t shift)
{
  const int32_t left = shift > 0 ? shift : 0;
  const int32_t right = shift > 0 ? 0 : -shift;
  return shift_right_rounded(multiply_high(shift_left(value, left), multiplier), right);
}

/* value * multiplier / 2^31 * 2^shift, rounded once, halves up: what LiteRT's fully connected layer does instead. */
static inline int32_t scale_once(int32_t value, int32_t multiplier, int32_t shift)
{
  const int32_t total = 31 - shift;
  if (total > 32) {
    /* The lower word of the product cannot change the result. */
    return ((int32_t)(((int64_t)value * multiplier) >> 32) + ((int32_t)1 << (total - 33))) >> (total - 32);
  }
  return (int32_t)(((int64_t)value * multiplier + ((int64_t)1 << (total - 1))) >> total);
}

/* Nearest whole number, halves to even, of |value| < 2^22; further out the nearest of those ends. */
static inline int32_t round_even(float value)
{
  const float limited = value > 4194303.0f ? 4194303.0f : value < -4194303.0f ? -4194303.0f : value;
  const float shifted = limited + 12582912.0f; /* 1.5 * 2^23: the whole number stands in the lowest bits */
  int32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  return bits - 0x4B400000;
}

/* From the sum of a weighted kernel to steps of its output, before the zero point is added: requantize for convolutions,
 * requantize_once for fully connected layers. */
#if NETWORK_ROUNDING_FLOAT
typedef float multiplier_t;

static inline int32_t requantize(int32_t sum, float multiplier, int32_t shift)
{
  (void)shift;
  return round_even((float)sum * multiplier);
}

static inline int32_t requantize_once(int32_t sum, float multiplier, int32_t shift)
{
  return requantize(sum, multiplier, shift);
}
#else
typedef int32_t multiplier_t;

static inline int32_t requantize(int32_t sum, int32_t multiplier, int32_t shift)
{
  return scale_by(sum, multiplier, shift);
}

static inline int32_t requantize_once(int32_t sum, int32_t multiplier, int32_t shift)
{
  return scale_once(sum, multiplier, shift);
}
#endif

#endif /* KERNELS_COMMON_H */
