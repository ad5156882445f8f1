/* Convolutions and fully connected layers with the DSP instructions of Cortex-M. Written by stm32pose. */
#ifndef KERNELS_CONV_DSP_H
#define KERNELS_CONV_DSP_H

#include "kernels_dsp.h"

typedef struct {
  int32_t input_height;
  int32_t input_width;
  int32_t input_channels;
  int32_t output_height;
  int32_t output_width;
  int32_t output_channels;
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride_height;
  int32_t stride_width;
  int32_t dilation_height;
  int32_t dilation_width;
  int32_t pad_top;
  int32_t pad_left;
  int32_t depth; /* factors of one sum, kernel_height * kernel_width * input_channels, rounded up to fours */
  int32_t input_zero;
  int32_t output_zero;
  int32_t activation_min; /* DSP_SCALE_RELU and DSP_SCALE_PLAIN clamp to -128..127 whatever these two are */
  int32_t activation_max;
  int32_t scaling; /* DSP_SCALE_... */
  /* For each two channels c and d; the last channel may be alone, d is then zeros:
     - the bias of c and that of d, with the input's zero point folded in;
     - depth / 2 words of weights: for every fourth k the bytes c[k] d[k] c[k + 2] d[k + 2], then the same of k + 1;
     - dsp_scale_words() numbers of c, as many of d. */
  const uint32_t *packed;
} conv_dsp_params;

/* As `conv` without groups, for each way of scaling. Scratch: depth * 8 bytes; depth * 4 + 4 more if input_channels
   is no multiple of 4. */
void conv_dsp_relu(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_dsp_plain(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_dsp_general(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_dsp_float(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_dsp_c(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);

/* Kernel 1 x 1, stride 1: output_height * output_width vectors of input_channels numbers. Scratch as above. */
void conv_1x1_dsp_relu(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_1x1_dsp_plain(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_1x1_dsp_general(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_1x1_dsp_float(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);
void conv_1x1_dsp_c(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p);

#endif /* KERNELS_CONV_DSP_H */
