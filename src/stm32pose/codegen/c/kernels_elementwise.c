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

static inline uint32_t load_word(const int8_t *from)
{
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
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

/* Element `lane` of a word, with its sign. */
static inline int32_t signed_lane(uint32_t word, int32_t lane)
{
  return (int8_t)(uint8_t)(word >> (8 * lane));
}

static inline uint32_t lane_of(uint32_t word, int32_t lane)
{
  return (word >> (8 * lane)) & 0xFFu;
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

/* Whether the output's bounds are those of int8, so that saturation does all there is to do. */
static inline int32_t unbounded(const elementwise_params *p)
{
  return p->low == -128 && p->high == 127;
}

/* ---- sum: both operands were scaled to a common, doubled, unit of 2^-20 steps ---- */

static inline int32_t sum_of(const elementwise_params *p, int32_t a, uint32_t b)
{
  return a * p->factor + p->table[b];
}

static void add_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  int32_t i;
  for (i = 0; i < p->length; i++) {
    const int32_t sum = sum_of(p, *a, (uint8_t)*b);
    const int32_t steps = shift_right_rounded(multiply_high_doubled(sum, p->multiplier, 0), -p->shift);
    output[i] = (int8_t)clamp(steps + p->zero, p->low, p->high);
    a += p->step0;
    b += p->step1;
  }
}

/* From a doubled sum or product to the output, where the shift is to the right by at least one. `offset`: half of what
 * is shifted out, and the zero point. Halves go away from zero: one less where the sum is negative (a sum so small that
 * its product is 0 does not notice). */
static inline int8_t finish(int32_t doubled, int32_t multiplier, int32_t offset, int32_t right)
{
  const int32_t value = multiply_high_doubled(doubled, multiplier, offset) + (doubled >> 31);
  return (int8_t)saturate(value >> right);
}

/* Both operands run along, nothing is clamped but to int8: four at a time. */
static void add_row_plain(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t factor = p->factor;
  const int32_t *table = p->table;
  const int32_t multiplier = p->multiplier;
  const int32_t right = -p->shift;
  const int32_t offset = p->zero * (1 << right) + (1 << (right - 1));
  const int8_t *end = a + (p->length & ~3);
  int32_t rest = p->length & 3;
  while (a != end) {
    const uint32_t word_a = load_word(a);
    const uint32_t word_b = load_word(b);
    a += 4;
    b += 4;
    output[0] = finish(signed_lane(word_a, 0) * factor + table[lane_of(word_b, 0)], multiplier, offset, right);
    output[1] = finish(signed_lane(word_a, 1) * factor + table[lane_of(word_b, 1)], multiplier, offset, right);
    output[2] = finish(signed_lane(word_a, 2) * factor + table[lane_of(word_b, 2)], multiplier, offset, right);
    output[3] = finish(signed_lane(word_a, 3) * factor + table[lane_of(word_b, 3)], multiplier, offset, right);
    output += 4;
  }
  while (rest > 0) {
    *output = finish(*a * factor + table[(uint8_t)*b], multiplier, offset, right);
    a++;
    b++;
    output++;
    rest--;
  }
}

static void add_any(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t plain = p->step0 == 1 && p->step1 == 1 && unbounded(p) && p->shift <= -1 && p->shift >= -20;
  for_each_row(a, b, output, p, plain ? add_row_plain : add_row);
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
  int32_t i;
  for (i = 0; i < p->length; i++) {
    const int32_t product = (*a - p->zero0) * (*b - p->zero1);
    output[i] = (int8_t)clamp(scale_by(product, p->multiplier, p->shift) + p->zero, p->low, p->high);
    a += p->step0;
    b += p->step1;
  }
}

static void mul_row_plain(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t zero0 = p->zero0;
  const int32_t zero1 = 2 * p->zero1; /* the product is doubled through operand 1 */
  const int32_t multiplier = p->multiplier;
  const int32_t right = -p->shift;
  const int32_t offset = p->zero * (1 << right) + (1 << (right - 1));
  const int8_t *end = a + (p->length & ~3);
  int32_t rest = p->length & 3;
  while (a != end) {
    const uint32_t word_a = load_word(a);
    const uint32_t word_b = load_word(b);
    a += 4;
    b += 4;
    output[0] = finish((signed_lane(word_a, 0) - zero0) * (2 * signed_lane(word_b, 0) - zero1), multiplier, offset, right);
    output[1] = finish((signed_lane(word_a, 1) - zero0) * (2 * signed_lane(word_b, 1) - zero1), multiplier, offset, right);
    output[2] = finish((signed_lane(word_a, 2) - zero0) * (2 * signed_lane(word_b, 2) - zero1), multiplier, offset, right);
    output[3] = finish((signed_lane(word_a, 3) - zero0) * (2 * signed_lane(word_b, 3) - zero1), multiplier, offset, right);
    output += 4;
  }
  while (rest > 0) {
    *output = finish((*a - zero0) * (2 * *b - zero1), multiplier, offset, right);
    a++;
    b++;
    output++;
    rest--;
  }
}

static void mul_any(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const int32_t plain = p->step0 == 1 && p->step1 == 1 && unbounded(p) && p->shift <= -1 && p->shift >= -20;
  for_each_row(a, b, output, p, plain ? mul_row_plain : mul_row);
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
  int32_t i;
  for (i = 0; i < p->length; i++) {
    const int32_t difference = sum_of(p, *a, (uint8_t)*b);
    const int32_t steps = scale_by(difference * difference, p->multiplier, p->shift);
    output[i] = (int8_t)clamp(steps + p->zero, p->low, p->high);
    a += p->step0;
    b += p->step1;
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
  int32_t i;
  for (i = 0; i < p->length; i++) {
    output[i] = *a > *b ? *a : *b;
    a += p->step0;
    b += p->step1;
  }
}

static void minimum_row(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  int32_t i;
  for (i = 0; i < p->length; i++) {
    output[i] = *a < *b ? *a : *b;
    a += p->step0;
    b += p->step1;
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
  int32_t i;
  for (i = 0; i < p->length; i++) {
    const int32_t value = *a - p->zero0;
    const int32_t steps = value >= 0 ? scale_by(value, p->multiplier_positive, p->shift_positive)
                                     : scale_by(value * (*b - p->zero1), p->multiplier, p->shift);
    output[i] = (int8_t)clamp(steps + p->zero, p->low, p->high);
    a += p->step0;
    b += p->step1;
  }
}

void prelu_int8(const int8_t *input0, const int8_t *input1, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, input1, output, p, prelu_row);
}

void prelu_int8_constant1(const int8_t *input0, int8_t *output, const elementwise_params *p)
{
  for_each_row(input0, p->constant, output, p, prelu_row);
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
  int32_t i;
  for (i = 0; i < p->length; i++) {
    const float result = operate(p->operation, p->values0[(uint8_t)*a], p->values1[(uint8_t)*b]);
    output[i] = (int8_t)clamp(round_even(result / p->scale) + p->zero, p->low, p->high);
    a += p->step0;
    b += p->step1;
  }
}

/* The common case without a choice of operation for each element. */
static void float_row_add(const int8_t *a, const int8_t *b, int8_t *output, const elementwise_params *p)
{
  const float *values0 = p->values0;
  const float *values1 = p->values1;
  const float scale = p->scale;
  int32_t i;
  for (i = 0; i < p->length; i++) {
    const float sum = values0[(uint8_t)*a] + values1[(uint8_t)*b];
    output[i] = (int8_t)clamp(round_even(sum / scale) + p->zero, p->low, p->high);
    a += p->step0;
    b += p->step1;
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
