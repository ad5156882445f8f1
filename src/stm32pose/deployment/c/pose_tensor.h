/* Numbers of the network's outputs. Written by stm32pose. */
#ifndef POSE_TENSOR_H
#define POSE_TENSOR_H

#include <stdint.h>
#include <string.h>

#include "ai_model_config.h"

/* Finite: neither NaN nor infinite, also under -ffast-math, where isfinite() may be taken for true. */
static inline int pose_finite(float value)
{
  union { float real; uint32_t bits; } both;
  both.real = value;
  return (both.bits & 0x7f800000u) != 0x7f800000u;
}

static inline int pose_is_nan(float value)
{
  union { float real; uint32_t bits; } both;
  both.real = value;
  return (both.bits & 0x7f800000u) == 0x7f800000u && (both.bits & 0x007fffffu) != 0u;
}

/* Element `index` of output `output` as a real number: scale * (stored - zero point). */
static inline float pose_value(const void *const outputs[POSE_OUTPUTS_NB], int output, long index)
{
  static const int types[POSE_OUTPUTS_NB] = POSE_OUTPUT_TYPES;
  static const float scales[POSE_OUTPUTS_NB] = POSE_OUTPUT_SCALES;
  static const int zeros[POSE_OUTPUTS_NB] = POSE_OUTPUT_ZERO_POINTS;
  float real;
  switch (types[output]) {
    case INT8_FORMAT:
      return ((float)((const int8_t *)outputs[output])[index] - (float)zeros[output]) * scales[output];
    case UINT8_FORMAT:
      return ((float)((const uint8_t *)outputs[output])[index] - (float)zeros[output]) * scales[output];
    default:
      memcpy(&real, (const uint8_t *)outputs[output] + (long)sizeof real * index, sizeof real);
      return real;
  }
}

static inline float pose_clip(float value, float low, float high)
{
  return value < low ? low : value > high ? high : value;
}

#endif /* POSE_TENSOR_H */
