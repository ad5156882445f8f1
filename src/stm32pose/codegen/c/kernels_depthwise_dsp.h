/* Depthwise convolutions with the DSP instructions of Cortex-M. Written by stm32pose. */
#ifndef KERNELS_DEPTHWISE_DSP_H
#define KERNELS_DEPTHWISE_DSP_H

#include "kernels_dsp.h"

#define DEPTHWISE_DSP_TAPS 50 /* the largest kernel, 7 x 7, and one to make pairs */

typedef struct {
  int32_t input_height;
  int32_t input_width;
  int32_t channels;
  int32_t output_height;
  int32_t output_width;
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride_height;
  int32_t stride_width;
  int32_t dilation_height;
  int32_t dilation_width;
  int32_t pad_top;
  int32_t pad_left;
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min; /* these two in DSP_SCALE_C alone: the others clamp to -128..127 */
  int32_t activation_max;
  int32_t scaling; /* DSP_SCALE_... */
  /* For each four channels a, b, c, d, zeros where there are fewer; the biases with the input's zero point folded in.
     depthwise_dsp: four biases; for each two taps s, t (the last may be alone) as[k] bs at bt, cs ds ct dt;
     multiplier and divider (see dsp_scale) of each channel.
     depthwise_3x3_...: for a and b, then for c and d: two biases; five words as bs at bt, of the first two rows of
     columns 0, 1, 2, and of the last row's columns 0 and 1, 1 and 2; multiplier and divider of both.
     In DSP_SCALE_C and after the last whole four channels: multiplier and shift. */
  const uint32_t *packed;
} depthwise_dsp_params;

/* As `depthwise_conv` with one output channel for each input channel and at most DEPTHWISE_DSP_TAPS - 1 taps, for each
   way of scaling. Scratch: `channels` bytes. */
void depthwise_dsp_relu(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_dsp_plain(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_dsp_general(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_dsp_float(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_dsp_c(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);

/* Kernel 3 x 3, columns with a stride of 1 and no dilation: two at once. Scratch: `channels` bytes. */
void depthwise_3x3_dsp_relu(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_3x3_dsp_plain(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_3x3_dsp_general(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_3x3_dsp_float(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_3x3_dsp_c(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);

/* The same for a stride of 2. */
void depthwise_3x3_stride_2_dsp_relu(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);
void depthwise_3x3_stride_2_dsp_plain(const int8_t *input, int8_t *output, void *scratch,
                                      const depthwise_dsp_params *p);
void depthwise_3x3_stride_2_dsp_general(const int8_t *input, int8_t *output, void *scratch,
                                        const depthwise_dsp_params *p);
void depthwise_3x3_stride_2_dsp_float(const int8_t *input, int8_t *output, void *scratch,
                                      const depthwise_dsp_params *p);
void depthwise_3x3_stride_2_dsp_c(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p);

#endif /* KERNELS_DEPTHWISE_DSP_H */
