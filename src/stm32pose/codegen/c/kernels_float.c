/* float32 and int32 tensors: conversion, quantization, arithmetic. Written by stm32pose. */
#include "kernels_float.h"

/* ---- to and from 8 bits ---- */

#if NETWORK_ROUNDING_FLOAT
static int32_t nearest(float value)
{
  return round_even(value);
}
#else
/* Nearest whole number, halves away from zero, held at +-2^22: further out nothing 8-bit can lie. */
static int32_t nearest(float value)
{
  const float limited = value > 4194303.0f ? 4194303.0f : value < -4194303.0f ? -4194303.0f : value;
  const int32_t whole = limited == limited ? (int32_t)limited : 0;
  const float rest = limited - (float)whole;
  return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}
#endif

void quantize_int8(const void *input, int8_t *output, const quantize_params *p)
{
  const uint8_t *from = (const uint8_t *)input;
  const int32_t elements = p->elements;
  const float scale = p->scale;
  const int32_t zero = p->zero;
  int32_t i;
  for (i = 0; i < elements; i++) {
    output[i] = (int8_t)clamp(nearest(load_float(from) / scale) + zero, -128, 127);
    from += 4;
  }
}

void quantize_uint8(const void *input, uint8_t *output, const quantize_params *p)
{
  const uint8_t *from = (const uint8_t *)input;
  const int32_t elements = p->elements;
  const float scale = p->scale;
  const int32_t zero = p->zero;
  int32_t i;
  for (i = 0; i < elements; i++) {
    output[i] = (uint8_t)clamp(nearest(load_float(from) / scale) + zero, 0, 255);
    from += 4;
  }
}

void dequantize_int8(const int8_t *input, void *output, const quantize_params *p)
{
  uint8_t *to = (uint8_t *)output;
  const int32_t elements = p->elements;
  const float scale = p->scale;
  const int32_t zero = p->zero;
  int32_t i;
  for (i = 0; i < elements; i++) {
    store_float(to, (float)(input[i] - zero) * scale);
    to += 4;
  }
}

void dequantize_uint8(const uint8_t *input, void *output, const quantize_params *p)
{
  uint8_t *to = (uint8_t *)output;
  const int32_t elements = p->elements;
  const float scale = p->scale;
  const int32_t zero = p->zero;
  int32_t i;
  for (i = 0; i < elements; i++) {
    store_float(to, (float)(input[i] - zero) * scale);
    to += 4;
  }
}

/* ---- casts ---- */

static int32_t size_of(int32_t type)
{
  return type == TYPE_INT64 ? 8 : type == TYPE_INT32 || type == TYPE_FLOAT32 ? 4 : 1;
}

static int64_t load_whole(const uint8_t *from, int32_t type)
{
  int64_t value;
  switch (type) {
    case TYPE_INT8:
      value = (int8_t)*from;
      break;
    case TYPE_INT32:
      value = load_int32(from);
      break;
    case TYPE_INT64:
      memcpy(&value, from, sizeof value);
      break;
    default: /* TYPE_UINT8, TYPE_BOOL */
      value = *from;
      break;
  }
  return value;
}

static void store_whole(uint8_t *to, int64_t value, int32_t type)
{
  switch (type) {
    case TYPE_INT32:
      store_int32(to, (int32_t)(uint32_t)(uint64_t)value);
      break;
    case TYPE_INT64:
      memcpy(to, &value, sizeof value);
      break;
    case TYPE_FLOAT32:
      store_float(to, (float)value);
      break;
    case TYPE_BOOL:
      *to = value != 0 ? 1u : 0u;
      break;
    default: /* TYPE_INT8, TYPE_UINT8 */
      *to = (uint8_t)(uint64_t)value;
      break;
  }
}

/* Towards zero, held at the ends of the type. */
static void store_truncated(uint8_t *to, float value, int32_t type)
{
  int64_t whole;
  if (type == TYPE_BOOL) {
    whole = value != 0.0f ? 1 : 0;
  } else {
    const float top = type == TYPE_INT8    ? 128.0f
                      : type == TYPE_UINT8 ? 256.0f
                      : type == TYPE_INT32 ? 2147483648.0f
                                           : 9223372036854775808.0f;
    const int64_t most = type == TYPE_INT8    ? 127
                         : type == TYPE_UINT8 ? 255
                         : type == TYPE_INT32 ? INT32_MAX
                                              : INT64_MAX;
    const int64_t least = type == TYPE_UINT8 ? 0 : -most - 1;
    if (!(value == value)) {
      whole = 0;
    } else if (value >= top) {
      whole = most;
    } else if (value <= (float)least) {
      whole = least;
    } else {
      whole = (int64_t)value;
    }
  }
  store_whole(to, whole, type);
}

void cast(const void *input, void *output, const cast_params *p)
{
  const uint8_t *from = (const uint8_t *)input;
  uint8_t *to = (uint8_t *)output;
  const cast_params own = *p;
  const int32_t from_bytes = size_of(own.from);
  const int32_t to_bytes = size_of(own.to);
  int32_t i;
  for (i = 0; i < own.elements; i++) {
    if (own.from != TYPE_FLOAT32) {
      store_whole(to, load_whole(from, own.from), own.to);
    } else if (own.to != TYPE_FLOAT32) {
      store_truncated(to, load_float(from), own.to);
    } else {
      store_float(to, load_float(from));
    }
    from += from_bytes;
    to += to_bytes;
  }
}

void cast_int8(const int8_t *input, void *output, const cast_params *p)
{
  cast(input, output, p);
}

void cast_uint8(const uint8_t *input, void *output, const cast_params *p)
{
  cast(input, output, p);
}

void cast_to_int8(const void *input, int8_t *output, const cast_params *p)
{
  cast(input, output, p);
}

void cast_to_uint8(const void *input, uint8_t *output, const cast_params *p)
{
  cast(input, output, p);
}

/* ---- two operands ---- */

typedef void row_function(const uint8_t *a, const uint8_t *b, uint8_t *output, const arithmetic_params *p);

static void for_each_row(const void *input0, const void *input1, void *output, const arithmetic_params *p,
                         row_function *row)
{
  uint8_t *to = (uint8_t *)output;
  int32_t i0;
  for (i0 = 0; i0 < p->count[0]; i0++) {
    int32_t i1;
    for (i1 = 0; i1 < p->count[1]; i1++) {
      int32_t i2;
      for (i2 = 0; i2 < p->count[2]; i2++) {
        int32_t i3;
        for (i3 = 0; i3 < p->count[3]; i3++) {
          const int32_t a = i0 * p->steps0[0] + i1 * p->steps0[1] + i2 * p->steps0[2] + i3 * p->steps0[3];
          const int32_t b = i0 * p->steps1[0] + i1 * p->steps1[1] + i2 * p->steps1[2] + i3 * p->steps1[3];
          row((const uint8_t *)input0 + 4 * a, (const uint8_t *)input1 + 4 * b, to, p);
          to += 4 * p->length;
        }
      }
    }
  }
}

static int32_t floor_quotient(int32_t a, int32_t b)
{
  const int64_t quotient = (int64_t)a / b;
  return (int32_t)(uint32_t)(uint64_t)(quotient - (quotient * b != a && ((a < 0) != (b < 0)) ? 1 : 0));
}

/* The largest whole number that is not above it. */
static float floor_of(float value)
{
  float floored = value;
  if (value > -8388608.0f && value < 8388608.0f) {
    const float whole = (float)(int32_t)value;
    if (whole != value) { /* -0 stays */
      floored = whole > value ? whole - 1.0f : whole;
    }
  }
  return floored;
}

static inline float float_result(int32_t operation, float a, float b)
{
  float result;
  switch (operation) {
    case OPERATION_ADD:
      result = a + b;
      break;
    case OPERATION_SUB:
      result = a - b;
      break;
    case OPERATION_MUL:
      result = a * b;
      break;
    case OPERATION_DIV:
      result = a / b;
      break;
    case OPERATION_MAXIMUM:
      result = a > b ? a : b;
      break;
    case OPERATION_MINIMUM:
      result = a < b ? a : b;
      break;
    case OPERATION_SQUARED_DIFFERENCE:
      result = (a - b) * (a - b);
      break;
    default: /* OPERATION_FLOOR_DIV */
      result = floor_of(a / b);
      break;
  }
  return result;
}

static inline int32_t whole_result(int32_t operation, int32_t a, int32_t b)
{
  int64_t result;
  switch (operation) {
    case OPERATION_ADD:
      result = (int64_t)a + b;
      break;
    case OPERATION_SUB:
      result = (int64_t)a - b;
      break;
    case OPERATION_MUL:
      result = (int64_t)a * b;
      break;
    case OPERATION_DIV:
      result = b != 0 ? (int64_t)a / b : 0;
      break;
    case OPERATION_MAXIMUM:
      result = a > b ? a : b;
      break;
    case OPERATION_MINIMUM:
      result = a < b ? a : b;
      break;
    case OPERATION_SQUARED_DIFFERENCE: {
      const uint32_t difference = (uint32_t)a - (uint32_t)b;
      result = (int64_t)(uint64_t)(difference * difference);
      break;
    }
    default: /* OPERATION_FLOOR_DIV */
      result = b != 0 ? floor_quotient(a, b) : 0;
      break;
  }
  return (int32_t)(uint32_t)(uint64_t)result;
}

static void float_row(const uint8_t *a, const uint8_t *b, uint8_t *output, const arithmetic_params *p)
{
  const arithmetic_params own = *p; /* the output's bytes may be anyone's: what is read through p is read again */
  int32_t i;
  for (i = 0; i < own.length; i++) {
    float result = float_result(own.operation, load_float(a), load_float(b));
    if (own.bounded != 0) {
      result = result < own.low ? own.low : result > own.high ? own.high : result;
    }
    store_float(output, result);
    a += 4 * own.step0;
    b += 4 * own.step1;
    output += 4;
  }
}

static void whole_row(const uint8_t *a, const uint8_t *b, uint8_t *output, const arithmetic_params *p)
{
  const arithmetic_params own = *p;
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const int32_t result = whole_result(own.operation, load_int32(a), load_int32(b));
    store_int32(output, clamp(result, own.whole_low, own.whole_high));
    a += 4 * own.step0;
    b += 4 * own.step1;
    output += 4;
  }
}

void arithmetic_float32(const void *input0, const void *input1, void *output, const arithmetic_params *p)
{
  for_each_row(input0, input1, output, p, float_row);
}

void arithmetic_float32_constant0(const void *input1, void *output, const arithmetic_params *p)
{
  for_each_row(p->constant, input1, output, p, float_row);
}

void arithmetic_float32_constant1(const void *input0, void *output, const arithmetic_params *p)
{
  for_each_row(input0, p->constant, output, p, float_row);
}

void arithmetic_int32(const void *input0, const void *input1, void *output, const arithmetic_params *p)
{
  for_each_row(input0, input1, output, p, whole_row);
}

void arithmetic_int32_constant0(const void *input1, void *output, const arithmetic_params *p)
{
  for_each_row(p->whole, input1, output, p, whole_row);
}

void arithmetic_int32_constant1(const void *input0, void *output, const arithmetic_params *p)
{
  for_each_row(input0, p->whole, output, p, whole_row);
}

/* ---- one operand ---- */

/* The nearest float, without the C library: by the FPU's instruction, or digit by digit. */
static float square_root(float value)
{
#if defined(__ARM_FP) && (__ARM_FP & 4) && defined(__arm__) && defined(__GNUC__)
  float root;
  __asm__("vsqrt.f32 %0, %1" : "=t"(root) : "t"(value));
  return root;
#else
  uint32_t bits;
  float root = value;
  memcpy(&bits, &value, sizeof bits);
  if (bits == 0x80000000u || bits == 0u || bits == 0x7F800000u || (bits & 0x7FFFFFFFu) > 0x7F800000u) {
    root = value; /* zeros, infinity, no number */
  } else if ((bits & 0x80000000u) != 0u) {
    bits = 0xFFC00000u; /* the NaN that x86 makes of it */
    memcpy(&root, &bits, sizeof root);
  } else {
    int32_t exponent = (int32_t)(bits >> 23) - 127;
    uint64_t rest = bits & 0x007FFFFFu;
    uint64_t digits = 0;
    uint64_t digit = (uint64_t)1 << 48;
    if (exponent == -127) {
      exponent = -126;
      while ((rest & 0x00800000u) == 0u) {
        rest <<= 1;
        exponent--;
      }
    }
    rest |= 0x00800000u;
    if ((exponent & 1) != 0) {
      rest <<= 1;
      exponent--;
    }
    rest <<= 25; /* the root has 24 bits and one more to round by */
    while (digit != 0u) {
      if (rest >= digits + digit) {
        rest -= digits + digit;
        digits = (digits >> 1) + digit;
      } else {
        digits >>= 1;
      }
      digit >>= 2;
    }
    /* never a tie: then the root of a 24-bit number would have 25 bits */
    bits = (uint32_t)((digits + 1u) >> 1) - 0x00800000u + ((uint32_t)(exponent / 2 + 127) << 23);
    memcpy(&root, &bits, sizeof root);
  }
  return root;
#endif
}

static inline float limited(float value, float low, float high)
{
  return value < low ? low : value > high ? high : value;
}

static float unary_result(int32_t operation, float value)
{
  float result;
  uint32_t bits;
  switch (operation) {
    case UNARY_SQRT:
      result = square_root(value);
      break;
    case UNARY_RSQRT:
      result = 1.0f / square_root(value);
      break;
    case UNARY_ABS:
      memcpy(&bits, &value, sizeof bits);
      bits &= 0x7FFFFFFFu;
      memcpy(&result, &bits, sizeof result);
      break;
    case UNARY_NEG:
      result = -value;
      break;
    case UNARY_SQUARE:
      result = value * value;
      break;
    case UNARY_RELU:
      result = value < 0.0f ? 0.0f : value;
      break;
    case UNARY_RELU6:
      result = limited(value, 0.0f, 6.0f);
      break;
    case UNARY_RELU_N1_TO_1:
      result = limited(value, -1.0f, 1.0f);
      break;
    default: /* UNARY_FLOOR */
      result = floor_of(value);
      break;
  }
  return result;
}

void unary_float32(const void *input, void *output, const unary_params *p)
{
  const uint8_t *from = (const uint8_t *)input;
  uint8_t *to = (uint8_t *)output;
  const int32_t elements = p->elements;
  const int32_t operation = p->operation;
  int32_t i;
  for (i = 0; i < elements; i++) {
    store_float(to, unary_result(operation, load_float(from)));
    from += 4;
    to += 4;
  }
}
