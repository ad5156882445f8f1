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
  int32_t activation_min; /* DSP_SCALE_RELU and DSP_SCALE_PLAIN clamp to -128..127 whatever these two are */
  int32_t activation_max;
  int32_t scaling; /* DSP_SCALE_... */
  /* For each four channels a, b, c, d, zeros where there are fewer. Biases have the input's zero point folded in.
     depthwise_dsp:
     - four biases;
     - for each two taps s and t the bytes as bs at bt, then cs ds ct dt; the last tap may be alone, t is then zeros;
     - dsp_scale_words() numbers of each channel.
     depthwise_3x3_dsp and depthwise_3x3_stride_2_dsp, for a and b, then for c and d:
     - two biases;
     - five words as bs at bt: s and t are the first two rows in columns 0, 1 and 2, then the third row's columns 0 and
       1, and its columns 1 and 2;
     - dsp_scale_words() numbers of each channel. */
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
