/* Two int8 tensors, or one and a constant, element by element, with broadcasting. Written by stm32pose. */
#include "kernels_elementwise.h"

/* One innermost loop: `p->length` elements. */
typedef void row_function(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p);

/* added + (doubled * multiplier + 2^31) / 2^32, rounded down: multiply_high() of half of a doubled sum. */
static inline int32_t multiply_high_doubled(int32_t doubled, int32_t multiplier, int32_t added)
{
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
  int32_t high;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(high) : "r"(doubled), "r"(multiplier), "r"(added));
  return high;
#else
  return added + (int32_t)(((int64_t)doubled * multiplier + ((int64_t)1 << 31)) >> 32);
#endif
}

static inline int32_t saturate(int32_t value)
{
#if defined(__ARM_FEATURE_SAT) && defined(__GNUC__)
  int32_t saturated;
  __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(value));
  return saturated;
#else
  return value < -128 ? -128 : value > 127 ? 127 : value;
#endif
}

static void for_each_row(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p,
                         row_function *row)
{
  const int8_t *a0 = input0;
  const int8_t *b0 = input1;
  int32_t i0;
  for (i0 = 0; i0 < p->count[0]; i0++) {
    const int8_t *a1 = a0;
    const int8_t *b1 = b0;
    int32_t i1;
    for (i1 = 0; i1 < p->count[1]; i1++) {
      const int8_t *a2 = a1;
      const int8_t *b2 = b1;
      int32_t i2;
      for (i2 = 0; i2 < p->count[2]; i2++) {
        int32_t i3;
        for (i3 = 0; i3 < p->count[3]; i3++) {
          row(a2 + i3 * p->steps0[3], b2 + i3 * p->steps1[3], output, p);
          output += p->length;
        }
        a2 += p->steps0[2];
        b2 += p->steps1[2];
      }
      a1 += p->steps0[1];
      b1 += p->steps1[1];
    }
    a0 += p->steps0[0];
    b0 += p->steps1[0];
  }
}

static inline int32_t bounded(const elementwise_params *p)
{
  return p->low != -128 || p->high != 127;
}

/* Whether both operands run along, and a shift is to the right by at least one and not too far for offset_of(). */
static inline int32_t is_plain(const elementwise_params *p)
{
  return p->step0 == 1 && p->step1 == 1 && p->shift <= -1 && p->shift >= -20;
}

/* Half of what is shifted out, and a zero point. */
static inline int32_t offset_of(int32_t zero, int32_t right)
{
  return zero * (1 << right) + (1 << (right - 1));
}

/* From a doubled sum or product to the output. Halves go away from zero: one less where the sum is negative (a sum so
 * small that its product is 0 does not notice). */
static inline int32_t finish(int32_t doubled, int32_t multiplier, int32_t offset, int32_t right)
{
  const int32_t value = multiply_high_doubled(doubled, multiplier, offset) + (doubled >> 31);
  return saturate(value >> right);
}

/* ---- sum: both operands were scaled to a common, doubled, unit of 2^-20 steps ---- */

static void add_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const elementwise_params own = *p; /* the output's bytes may be anyone's: what is read through p is read again */
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const int32_t sum = *a * own.factor + own.table[(uint8_t)*b];
    const int32_t steps = shift_right_rounded(multiply_high_doubled(sum, own.multiplier, 0), -own.shift);
    output[i] = (int8_t)clamp(steps + own.zero, own.low, own.high);
    a += own.step0;
    b += own.step1;
  }
}

static void add_row_plain(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t length = p->length;
  const int32_t factor = p->factor;
  const int32_t *table = p->table;
  const int32_t multiplier = p->multiplier;
  const int32_t right = -p->shift;
  const int32_t offset = offset_of(p->zero, right);
  int32_t i;
  for (i = 0; i < length; i++) {
    output[i] = (int8_t)finish(a[i] * factor + table[(uint8_t)b[i]], multiplier, offset, right);
  }
}

/* With bounds. The zero point is moved so that what is above `high` saturates at 127, then so that what is below `low`
 * does at -128, and back. */
static void add_row_bounded(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t length = p->length;
  const int32_t factor = p->factor;
  const int32_t *table = p->table;
  const int32_t multiplier = p->multiplier;
  const int32_t right = -p->shift;
  const int32_t offset = offset_of(p->zero + 127 - p->high, right);
  const int32_t middle = p->high - p->low - 255;
  const int32_t back = p->low + 128;
  int32_t i;
  for (i = 0; i < length; i++) {
    const int32_t value = finish(a[i] * factor + table[(uint8_t)b[i]], multiplier, offset, right);
    output[i] = (int8_t)(saturate(value + middle) + back);
  }
}

static void add_any(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  for_each_row(a, b, output, p, !is_plain(p) ? add_row : bounded(p) ? add_row_bounded : add_row_plain);
}

void add_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  add_any(input0, input1, output, p);
}

void add_int8_constant0(const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  add_any(p->constant, input1, output, p);
}

void add_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  add_any(input0, p->constant, output, p);
}

/* ---- product ---- */

static void mul_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const elementwise_params own = *p;
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const int32_t product = (*a - own.zero0) * (*b - own.zero1);
    output[i] = (int8_t)clamp(scale_by(product, own.multiplier, own.shift) + own.zero, own.low, own.high);
    a += own.step0;
    b += own.step1;
  }
}

static void mul_row_plain(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t length = p->length;
  const int32_t zero0 = p->zero0;
  const int32_t zero1 = 2 * p->zero1; /* the product is doubled through operand 1 */
  const int32_t multiplier = p->multiplier;
  const int32_t right = -p->shift;
  const int32_t offset = offset_of(p->zero, right);
  int32_t i;
  for (i = 0; i < length; i++) {
    output[i] = (int8_t)finish((a[i] - zero0) * (2 * b[i] - zero1), multiplier, offset, right);
  }
}

static void mul_any(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  for_each_row(a, b, output, p, is_plain(p) && !bounded(p) ? mul_row_plain : mul_row);
}

void mul_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  mul_any(input0, input1, output, p);
}

void mul_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  mul_any(input0, p->constant, output, p);
}

/* ---- squared difference ---- */

static void squared_difference_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const elementwise_params own = *p;
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const int32_t difference = *a * own.factor + own.table[(uint8_t)*b];
    const int32_t steps = scale_by(difference * difference, own.multiplier, own.shift);
    output[i] = (int8_t)clamp(steps + own.zero, own.low, own.high);
    a += own.step0;
    b += own.step1;
  }
}

void squared_difference_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, input1, output, p, squared_difference_row);
}

void squared_difference_int8_constant0(const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  for_each_row(p->constant, input1, output, p, squared_difference_row);
}

void squared_difference_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, p->constant, output, p, squared_difference_row);
}

/* ---- the larger, the smaller ---- */

static void maximum_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t length = p->length;
  const int32_t step0 = p->step0;
  const int32_t step1 = p->step1;
  int32_t i;
  for (i = 0; i < length; i++) {
    output[i] = *a > *b ? *a : *b;
    a += step0;
    b += step1;
  }
}

static void minimum_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t length = p->length;
  const int32_t step0 = p->step0;
  const int32_t step1 = p->step1;
  int32_t i;
  for (i = 0; i < length; i++) {
    output[i] = *a < *b ? *a : *b;
    a += step0;
    b += step1;
  }
}

void maximum_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, input1, output, p, maximum_row);
}

void maximum_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, p->constant, output, p, maximum_row);
}

void minimum_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, input1, output, p, minimum_row);
}

void minimum_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, p->constant, output, p, minimum_row);
}

/* ---- PRELU ---- */

static void prelu_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const elementwise_params own = *p;
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const int32_t value = *a - own.zero0;
    const int32_t steps = value >= 0 ? scale_by(value, own.multiplier_positive, own.shift_positive)
                                     : scale_by(value * (*b - own.zero1), own.multiplier, own.shift);
    output[i] = (int8_t)clamp(steps + own.zero, own.low, own.high);
    a += own.step0;
    b += own.step1;
  }
}

/* The slopes run along. Above zero the shift is 1 to the left where the scale stays, or to the right. */
static void prelu_row_plain(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t length = p->length;
  const int32_t zero = p->zero;
  const int32_t zero0 = p->zero0;
  const int32_t zero1 = 2 * p->zero1;
  const int32_t multiplier = p->multiplier;
  const int32_t right = -p->shift;
  const int32_t offset = offset_of(zero, right);
  const int32_t multiplier_positive = p->multiplier_positive;
  const int32_t right_positive = p->shift_positive < 0 ? -p->shift_positive : 0;
  const int32_t twice = p->shift_positive < 0 ? 2 : 2 << p->shift_positive;
  const int32_t offset_positive = right_positive > 0 ? offset_of(zero, right_positive) : zero;
  int32_t i;
  for (i = 0; i < length; i++) {
    const int32_t value = a[i] - zero0;
    if (value >= 0) {
      output[i] = (int8_t)finish(value * twice, multiplier_positive, offset_positive, right_positive);
    } else {
      output[i] = (int8_t)finish(value * (2 * b[i] - zero1), multiplier, offset, right);
    }
  }
}

static void prelu_any(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t plain = is_plain(p) && !bounded(p) && p->shift_positive >= -20 && p->shift_positive <= 8;
  for_each_row(a, b, output, p, plain ? prelu_row_plain : prelu_row);
}

void prelu_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  prelu_any(input0, input1, output, p);
}

void prelu_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  prelu_any(input0, p->constant, output, p);
}

/* ---- in float, as ONNX Runtime ---- */

static inline float operate(int32_t operation, float a, float b)
{
  float result;
  switch (operation) {
    case FLOAT_ADD:
      result = a + b;
      break;
    case FLOAT_SUB:
      result = a - b;
      break;
    case FLOAT_MUL:
      result = a * b;
      break;
    case FLOAT_DIV:
      result = a / b;
      break;
    case FLOAT_MAXIMUM:
      result = a > b ? a : b;
      break;
    case FLOAT_MINIMUM:
      result = a < b ? a : b;
      break;
    case FLOAT_SQUARED_DIFFERENCE:
      result = (a - b) * (a - b);
      break;
    default: /* FLOAT_PRELU */
      result = a < 0.0f ? a * b : a;
      break;
  }
  return result;
}

static void float_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const elementwise_params own = *p;
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const float result = operate(own.operation, own.values0[(uint8_t)*a], own.values1[(uint8_t)*b]);
    output[i] = (int8_t)clamp(round_even(result / own.scale) + own.zero, own.low, own.high);
    a += own.step0;
    b += own.step1;
  }
}

/* The common case without a choice of operation for each element. */
static void float_row_add(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const elementwise_params own = *p;
  int32_t i;
  for (i = 0; i < own.length; i++) {
    const float sum = own.values0[(uint8_t)*a] + own.values1[(uint8_t)*b];
    output[i] = (int8_t)clamp(round_even(sum / own.scale) + own.zero, own.low, own.high);
    a += own.step0;
    b += own.step1;
  }
}

static void float_any(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  for_each_row(a, b, output, p, p->operation == FLOAT_ADD ? float_row_add : float_row);
}

void elementwise_float(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  float_any(input0, input1, output, p);
}

void elementwise_float_constant0(const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  float_any(p->constant, input1, output, p);
}

void elementwise_float_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  float_any(input0, p->constant, output, p);
}
