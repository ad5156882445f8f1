/* What only ONNX networks need. Written by stm32pose. */
#include "kernels_onnx.h"

void channel_lines(const int8_t *input, int8_t *output, const channel_lines_params *p)
{
  int32_t pixel;
  for (pixel = 0; pixel < p->pixels; pixel++) {
    int32_t channel;
    for (channel = 0; channel < p->channels; channel++) {
      const int32_t distance = input[channel] - p->input_zero;
      const float slope = distance < 0 ? p->below[channel] : p->above[channel];
      const float steps = p->start[channel] + (float)distance * slope;
      output[channel] = (int8_t)clamp(round_even(steps) + p->output_zero, -128, 127);
    }
    input += p->channels;
    output += p->channels;
  }
}

void channel_table(const int8_t *input, int8_t *output, const channel_table_params *p)
{
  int32_t pixel;
  for (pixel = 0; pixel < p->pixels; pixel++) {
    const int8_t *table = p->table;
    int32_t channel;
    for (channel = 0; channel < p->channels; channel++) {
      output[channel] = table[(uint8_t)input[channel]];
      table += 256;
    }
    input += p->channels;
    output += p->channels;
  }
}

void float_table(const int8_t *input, void *output, const float_table_params *p)
{
  uint8_t *to = (uint8_t *)output;
  int32_t i;
  for (i = 0; i < p->elements; i++) {
    store_float(to, p->table[(uint8_t)input[i]]);
    to += 4;
  }
}

/* The largest of a line, and the sum of the powers of e; returned is the largest. */
static int32_t sum_line(const int8_t *input, const softmax_axis_params *p, float *sum)
{
  int32_t most = input[0];
  int32_t i;
  for (i = 1; i < p->depth; i++) {
    most = input[i * p->inner] > most ? input[i * p->inner] : most;
  }
  *sum = 0.0f;
  for (i = 0; i < p->depth; i++) {
    *sum += p->powers[most - input[i * p->inner]];
  }
  return most;
}

void softmax_axis(const int8_t *input, int8_t *output, const softmax_axis_params *p)
{
  int32_t outer;
  for (outer = 0; outer < p->outer; outer++) {
    int32_t inner;
    for (inner = 0; inner < p->inner; inner++) {
      float sum;
      const int32_t most = sum_line(input + inner, p, &sum);
      int32_t i;
      for (i = 0; i < p->depth; i++) {
        const int32_t place = inner + i * p->inner;
        const float share = p->powers[most - input[place]] / sum;
        output[place] = (int8_t)clamp(round_even(share / p->scale) + p->zero, -128, 127);
      }
    }
    input += p->depth * p->inner;
    output += p->depth * p->inner;
  }
}

void softmax_axis_to_float(const int8_t *input, void *output, const softmax_axis_params *p)
{
  uint8_t *to = (uint8_t *)output;
  int32_t outer;
  for (outer = 0; outer < p->outer; outer++) {
    int32_t inner;
    for (inner = 0; inner < p->inner; inner++) {
      float sum;
      const int32_t most = sum_line(input + inner, p, &sum);
      int32_t i;
      for (i = 0; i < p->depth; i++) {
        const int32_t place = inner + i * p->inner;
        store_float(to + 4 * place, p->powers[most - input[place]] / sum);
      }
    }
    input += p->depth * p->inner;
    to += 4 * p->depth * p->inner;
  }
}
