/* Depthwise convolutions with the DSP instructions of Cortex-M. Written by stm32pose.

   Four channels lie in one word. Words of two pixels are mixed so that both factors of one channel stand in the halves of
   a word: one instruction then multiplies with two weights. What lies outside the input is read from a row of zero points. */
#include "kernels_depthwise_dsp.h"

/* What the inner loops need; the assembly knows the places of its members. */
typedef struct {
  const uint32_t *packed; /* 0: as in the parameters */
  int8_t *output;         /* 4: of the pixel, or of the first of two */
  int32_t step;           /* 8: bytes to the second one's; 0: only the first is wanted, and written last */
  int32_t zero;           /* 12: of the output */
  int32_t channels;       /* 16: the end of those to be made, whole fours */
  const int8_t **taps;    /* 20: pixels of the input, or the row of zero points */
  const int8_t **end;     /* 24: of `taps` */
  int32_t first;          /* 28: of the channels to be made */
} depthwise_pixel;

#if KERNELS_DSP_ASSEMBLY

/* clang-format off */
/* Two channels of two pixels. In: r4-r7 words of the first two rows of four columns, r8 and r9 the third row's, columns in
   pairs. Out: r11 and r12 the first pixel's sums, r0 and r1 the second's. */
#define SUMS_3X3                                                                                                       \
  "ldmia lr!, {r0-r2}\n"                                                                                               \
  "sxtb16 r10, r4\n"                 /* column 0 and weights 0 */                                                      \
  "sxtb16 r4, r4, ror #8\n"                                                                                            \
  "sxtb16 r3, r2\n"                                                                                                    \
  "sxtb16 r2, r2, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r0\n"                                                                                           \
  "smlad r12, r2, r4, r1\n"                                                                                            \
  "sxtb16 r10, r5\n"                 /* column 1 */                                                                    \
  "sxtb16 r4, r5, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "ldrd r2, r5, [lr], #8\n"          /* weights 1 and 2 */                                                             \
  "sxtb16 r3, r2\n"                                                                                                    \
  "sxtb16 r2, r2, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r6\n"                 /* column 2 */                                                                    \
  "sxtb16 r4, r6, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "sxtb16 r3, r5\n"                                                                                                    \
  "sxtb16 r2, r5, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r7\n"                 /* column 3 */                                                                    \
  "sxtb16 r4, r7, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "ldrd r5, r6, [lr], #8\n"          /* the third row: weights of columns 0 and 1, 1 and 2 */                          \
  "sxtb16 r10, r8\n"                                                                                                   \
  "sxtb16 r4, r8, ror #8\n"                                                                                            \
  "sxtb16 r3, r5\n"                                                                                                    \
  "sxtb16 r2, r5, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "smlatb r0, r10, r3, r0\n"                                                                                           \
  "smlatb r1, r4, r2, r1\n"                                                                                            \
  "sxtb16 r10, r9\n"                                                                                                   \
  "sxtb16 r4, r9, ror #8\n"                                                                                            \
  "sxtb16 r3, r6\n"                                                                                                    \
  "sxtb16 r2, r6, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "smlabt r11, r10, r3, r11\n"                                                                                         \
  "smlabt r12, r4, r2, r12\n"

/* dsp_scale of these four sums. The frame: 24 packed, 28 output, 32 step, 36 zero, 40 channels, 44 taps, 48 end,
   52 first, 56 the channels at hand. */
#define SCALE_3X3(halves)                                                                                              \
  "ldmia lr!, {r2-r5}\n"                                                                                               \
  "ldrd r7, r8, [sp, #28]\n"                                                                                           \
  "ldr r6, [sp, #36]\n"                                                                                                \
  "smmlar r11, r11, r2, r11\n"                                                                                         \
  "smmlar r0, r0, r2, r0\n"                                                                                            \
  "smmlar r12, r12, r4, r12\n"                                                                                         \
  "smmlar r1, r1, r4, r1\n"                                                                                            \
  halves                                                                                                               \
  "smmlar r11, r11, r3, r6\n"                                                                                          \
  "smmlar r0, r0, r3, r6\n"                                                                                            \
  "smmlar r12, r12, r5, r6\n"                                                                                          \
  "smmlar r1, r1, r5, r6\n"                                                                                            \
  "ssat r11, #8, r11\n"                                                                                                \
  "ssat r0, #8, r0\n"                                                                                                  \
  "ssat r12, #8, r12\n"                                                                                                \
  "ssat r1, #8, r1\n"                                                                                                  \
  "strb r0, [r7, r8]\n"                                                                                                \
  "strb r11, [r7], #1\n"                                                                                               \
  "strb r1, [r7, r8]\n"                                                                                                \
  "strb r12, [r7], #1\n"                                                                                               \
  "str r7, [sp, #28]\n"

#define HALVES_AWAY_3X3                                                                                                \
  "add r11, r11, r11, asr #31\n"                                                                                       \
  "add r0, r0, r0, asr #31\n"                                                                                          \
  "add r12, r12, r12, asr #31\n"                                                                                       \
  "add r1, r1, r1, asr #31\n"

#define STORE_3X3                                                                                                      \
  "ldr r7, [sp, #28]\n"                                                                                                \
  "stmia r7!, {r0, r1, r11, r12}\n"  /* the second pixel's two, the first one's two */                                 \
  "str r7, [sp, #28]\n"                                                                                                \
  "adds lr, #16\n"

/* Words of columns of two pixels each, four channels: the first two channels' stay in r4-r9, the others' go to the stack. */
#define LOAD_3X3                                                                                                       \
  "ldmia r10!, {r0-r3}\n"                                                                                              \
  "ldr r0, [r0, r12]\n"                                                                                                \
  "ldr r1, [r1, r12]\n"                                                                                                \
  "ldr r2, [r2, r12]\n"                                                                                                \
  "ldr r3, [r3, r12]\n"

#define DEPTHWISE_3X3(finish)                                                                                          \
  "push {r4-r11, lr}\n"                                                                                                \
  "ldm r0, {r4-r11}\n"                                                                                                 \
  "sub sp, #60\n"                                                                                                      \
  "mov lr, r4\n"                                                                                                       \
  "mov r12, r11\n"                                                                                                     \
  "add r0, sp, #24\n"                                                                                                  \
  "stm r0, {r4-r11}\n"                                                                                                 \
  "mov r10, r9\n"                                                                                                      \
  "1:\n"                                                                                                               \
  LOAD_3X3                                                                                                             \
  "pkhbt r4, r0, r1, lsl #16\n"                                                                                        \
  "pkhtb r0, r1, r0, asr #16\n"                                                                                        \
  "pkhbt r5, r2, r3, lsl #16\n"                                                                                        \
  "pkhtb r1, r3, r2, asr #16\n"                                                                                        \
  "strd r0, r1, [sp, #0]\n"                                                                                            \
  LOAD_3X3                                                                                                             \
  "pkhbt r6, r0, r1, lsl #16\n"                                                                                        \
  "pkhtb r0, r1, r0, asr #16\n"                                                                                        \
  "pkhbt r7, r2, r3, lsl #16\n"                                                                                        \
  "pkhtb r1, r3, r2, asr #16\n"                                                                                        \
  "strd r0, r1, [sp, #8]\n"                                                                                            \
  LOAD_3X3                                                                                                             \
  "pkhbt r8, r0, r1, lsl #16\n"                                                                                        \
  "pkhtb r0, r1, r0, asr #16\n"                                                                                        \
  "pkhbt r9, r2, r3, lsl #16\n"                                                                                        \
  "pkhtb r1, r3, r2, asr #16\n"                                                                                        \
  "strd r0, r1, [sp, #16]\n"                                                                                           \
  "adds r12, #4\n"                                                                                                     \
  "str r12, [sp, #56]\n"                                                                                               \
  SUMS_3X3 finish                                                                                                      \
  "ldm sp, {r4-r9}\n"                                                                                                  \
  SUMS_3X3 finish                                                                                                      \
  "ldrd r0, r10, [sp, #40]\n"                                                                                          \
  "ldr r12, [sp, #56]\n"                                                                                               \
  "cmp r12, r0\n"                                                                                                      \
  "bne 1b\n"                                                                                                           \
  "add sp, #60\n"                                                                                                      \
  "pop {r4-r11, pc}\n"

/* Any kernel, one pixel, four channels: r4-r7 are the sums. The frame: 0 packed, 4 output, 8 step, 12 zero, 16 channels,
   20 taps, 24 end. */
#define DEPTHWISE_1(finish)                                                                                            \
  "push {r4-r11, lr}\n"                                                                                                \
  "ldm r0, {r4-r11}\n"                                                                                                 \
  "sub sp, #28\n"                                                                                                      \
  "stm sp, {r4-r10}\n"                                                                                                 \
  "mov lr, r4\n"                                                                                                       \
  "mov r12, r11\n"                                                                                                     \
  "1:\n"                                                                                                               \
  "ldmia lr!, {r4-r7}\n"                                                                                               \
  "ldr r11, [sp, #20]\n"                                                                                               \
  "2:\n"                                                                                                               \
  "ldrd r0, r1, [r11], #8\n"                                                                                           \
  "ldrd r2, r3, [lr], #8\n"                                                                                            \
  "ldr r0, [r0, r12]\n"                                                                                                \
  "ldr r1, [r1, r12]\n"                                                                                                \
  "cmp r11, r10\n"                                                                                                     \
  "pkhbt r8, r0, r1, lsl #16\n"                                                                                        \
  "pkhtb r9, r1, r0, asr #16\n"                                                                                        \
  "sxtb16 r0, r8\n"                                                                                                    \
  "sxtb16 r8, r8, ror #8\n"                                                                                            \
  "sxtb16 r1, r2\n"                                                                                                    \
  "sxtb16 r2, r2, ror #8\n"                                                                                            \
  "smlad r4, r0, r1, r4\n"                                                                                             \
  "smlad r5, r8, r2, r5\n"                                                                                             \
  "sxtb16 r0, r9\n"                                                                                                    \
  "sxtb16 r9, r9, ror #8\n"                                                                                            \
  "sxtb16 r1, r3\n"                                                                                                    \
  "sxtb16 r3, r3, ror #8\n"                                                                                            \
  "smlad r6, r0, r1, r6\n"                                                                                             \
  "smlad r7, r9, r3, r7\n"                                                                                             \
  "bne 2b\n"                                                                                                           \
  "ldr r9, [sp, #4]\n"                                                                                                 \
  finish                                                                                                               \
  "str r9, [sp, #4]\n"                                                                                                 \
  "ldr r0, [sp, #16]\n"                                                                                                \
  "adds r12, #4\n"                                                                                                     \
  "cmp r12, r0\n"                                                                                                      \
  "bne 1b\n"                                                                                                           \
  "add sp, #28\n"                                                                                                      \
  "pop {r4-r11, pc}\n"

#define SCALE_DEPTHWISE_1(halves)                                                                                      \
  "ldr r8, [sp, #12]\n"                                                                                                \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "smmlar r4, r4, r0, r4\n"                                                                                            \
  "smmlar r5, r5, r2, r5\n"                                                                                            \
  "ldmia lr!, {r0, r2, r11}\n"                                                                                         \
  "smmlar r6, r6, r0, r6\n"                                                                                            \
  "ldr r0, [lr], #4\n"                                                                                                 \
  "smmlar r7, r7, r11, r7\n"                                                                                           \
  halves                                                                                                               \
  "smmlar r4, r4, r1, r8\n"                                                                                            \
  "smmlar r5, r5, r3, r8\n"                                                                                            \
  "smmlar r6, r6, r2, r8\n"                                                                                            \
  "smmlar r7, r7, r0, r8\n"                                                                                            \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "strb r4, [r9], #1\n"                                                                                                \
  "strb r5, [r9], #1\n"                                                                                                \
  "strb r6, [r9], #1\n"                                                                                                \
  "strb r7, [r9], #1\n"

#define HALVES_AWAY_DEPTHWISE_1                                                                                        \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "add r5, r5, r5, asr #31\n"                                                                                          \
  "add r6, r6, r6, asr #31\n"                                                                                          \
  "add r7, r7, r7, asr #31\n"

#define STORE_DEPTHWISE_1                                                                                              \
  "stmia r9!, {r4-r7}\n"                                                                                               \
  "adds lr, #32\n"

DSP_NAKED static void pair_3x3_relu(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_3X3(SCALE_3X3("")));
}

DSP_NAKED static void pair_3x3_plain(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_3X3(SCALE_3X3(HALVES_AWAY_3X3)));
}

/* The sums as they are, int32, eight for each four channels: second pixel a, b, first pixel a, b, then c and d. */
DSP_NAKED static void pair_3x3_sums(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_3X3(STORE_3X3));
}

DSP_NAKED static void single_relu(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(SCALE_DEPTHWISE_1("")));
}

DSP_NAKED static void single_plain(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(SCALE_DEPTHWISE_1(HALVES_AWAY_DEPTHWISE_1)));
}

/* The sums as they are, four for each four channels. */
DSP_NAKED static void single_sums(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(STORE_DEPTHWISE_1));
}
/* clang-format on */
#else

/* The bytes of channels a and b of two pixels, a of both in the even places; of c and d where `upper` is 1. */
static uint32_t mix(const int8_t *first, const int8_t *second, int32_t upper)
{
  const uint32_t one = dsp_load(first) >> (16 * upper);
  const uint32_t two = dsp_load(second) >> (16 * upper);
  return (one & 0xFFFFu) | (two << 16);
}

/* Sums of two channels of two pixels: second pixel a, b, first pixel a, b. */
static void sums_3x3(const depthwise_pixel *pixel, const uint32_t *packed, int32_t channel, uint32_t *sums)
{
  const int32_t upper = (channel >> 1) & 1;
  const int32_t four = channel & ~3;
  uint32_t x[6];
  int32_t i, j, k;
  for (i = 0; i < 6; i++) {
    x[i] = mix(pixel->taps[2 * i] + four, pixel->taps[2 * i + 1] + four, upper);
  }
  for (i = 0; i < 4; i++) {
    sums[i] = packed[i & 1];
  }
  for (k = 0; k < 2; k++) {
    uint32_t columns[6], weights[5];
    for (i = 0; i < 6; i++) {
      columns[i] = k == 0 ? dsp_even(x[i]) : dsp_odd(x[i]);
    }
    for (i = 0; i < 5; i++) {
      weights[i] = k == 0 ? dsp_even(packed[2 + i]) : dsp_odd(packed[2 + i]);
    }
    for (j = 0; j < 3; j++) {
      sums[2 + k] = dsp_dual(columns[j], weights[j], sums[2 + k]);
      sums[k] = dsp_dual(columns[j + 1], weights[j], sums[k]);
    }
    sums[2 + k] = dsp_dual(columns[4], weights[3], sums[2 + k]);
    sums[2 + k] += (uint32_t)(dsp_half(columns[5], 0) * dsp_half(weights[4], 1));
    sums[k] += (uint32_t)(dsp_half(columns[4], 1) * dsp_half(weights[3], 0));
    sums[k] = dsp_dual(columns[5], weights[4], sums[k]);
  }
}

static void pair_3x3(const depthwise_pixel *pixel, int32_t scaling)
{
  const uint32_t *packed = pixel->packed;
  int32_t channel, i;
  for (channel = pixel->first; channel < pixel->channels; channel += 2) {
    uint32_t sums[4];
    sums_3x3(pixel, packed, channel, sums);
    packed += 7;
    for (i = 0; i < 4; i++) {
      pixel->output[(i < 2 ? pixel->step : 0) + channel + (i & 1)] =
          dsp_scale(sums[i], (int32_t)packed[2 * (i & 1)], (int32_t)packed[2 * (i & 1) + 1], pixel->zero, scaling);
    }
    packed += 4;
  }
}

static void pair_3x3_relu(const depthwise_pixel *pixel)
{
  pair_3x3(pixel, DSP_SCALE_RELU);
}

static void pair_3x3_plain(const depthwise_pixel *pixel)
{
  pair_3x3(pixel, DSP_SCALE_PLAIN);
}

static void pair_3x3_sums(const depthwise_pixel *pixel)
{
  int32_t channel;
  int8_t *to = pixel->output;
  const uint32_t *packed = pixel->packed;
  for (channel = pixel->first; channel < pixel->channels; channel += 2) {
    uint32_t sums[4];
    sums_3x3(pixel, packed, channel, sums);
    memcpy(to, sums, sizeof sums);
    packed += 11;
    to += sizeof sums;
  }
}

static const uint32_t *sums_1(const depthwise_pixel *pixel, const uint32_t *packed, int32_t channel, uint32_t *sums)
{
  const int8_t **tap;
  memcpy(sums, packed, 4 * sizeof *sums);
  packed += 4;
  for (tap = pixel->taps; tap != pixel->end; tap += 2) {
    int32_t upper;
    for (upper = 0; upper < 2; upper++) {
      const uint32_t x = mix(tap[0] + channel, tap[1] + channel, upper);
      sums[2 * upper] = dsp_dual(dsp_even(x), dsp_even(*packed), sums[2 * upper]);
      sums[2 * upper + 1] = dsp_dual(dsp_odd(x), dsp_odd(*packed), sums[2 * upper + 1]);
      packed++;
    }
  }
  return packed;
}

static void single(const depthwise_pixel *pixel, int32_t scaling)
{
  const uint32_t *packed = pixel->packed;
  int32_t channel, i;
  for (channel = pixel->first; channel < pixel->channels; channel += 4) {
    uint32_t sums[4];
    packed = sums_1(pixel, packed, channel, sums);
    for (i = 0; i < 4; i++) {
      pixel->output[channel + i] =
          dsp_scale(sums[i], (int32_t)packed[2 * i], (int32_t)packed[2 * i + 1], pixel->zero, scaling);
    }
    packed += 8;
  }
}

static void single_relu(const depthwise_pixel *pixel)
{
  single(pixel, DSP_SCALE_RELU);
}

static void single_plain(const depthwise_pixel *pixel)
{
  single(pixel, DSP_SCALE_PLAIN);
}

static void single_sums(const depthwise_pixel *pixel)
{
  const uint32_t *packed = pixel->packed;
  int8_t *to = pixel->output;
  int32_t channel;
  for (channel = pixel->first; channel < pixel->channels; channel += 4) {
    uint32_t sums[4];
    packed = sums_1(pixel, packed, channel, sums) + 8;
    memcpy(to, sums, sizeof sums);
    to += sizeof sums;
  }
}
#endif

/* Four channels, fewer at the end, from their sums; `pair`: from those of pair_3x3_sums. */
static void finish_four(depthwise_pixel *pixel, int8_t *output, int32_t channel, int32_t pair,
                        const depthwise_dsp_params *p)
{
  int32_t sums[8];
  int32_t i;
  const uint32_t *packed = pixel->packed;
  pixel->output = (int8_t *)sums;
  (pair != 0 ? pair_3x3_sums : single_sums)(pixel);
  for (i = 0; i < 4 && channel + i < p->channels; i++) {
    const uint32_t *scale = pair != 0 ? packed + 7 + (i / 2) * 11 + 2 * (i & 1)
                                      : packed + 4 + (pixel->end - pixel->taps) + 2 * i;
    const int32_t first = pair != 0 ? sums[4 * (i / 2) + 2 + (i & 1)] : sums[i];
    output[channel + i] = (int8_t)clamp(dsp_requantize(first, scale, 0) + p->output_zero, p->activation_min,
                                        p->activation_max);
    if (pixel->step != 0) {
      output[pixel->step + channel + i] = (int8_t)clamp(
          dsp_requantize(sums[4 * (i / 2) + (i & 1)], scale, 0) + p->output_zero, p->activation_min, p->activation_max);
    }
  }
}

/* All channels of one pixel (`step` 0), or of two, `step` bytes apart, which only pair_3x3_... can. */
static void finish_pixels(const int8_t **taps, int32_t count, int8_t *output, int32_t pair, int32_t step,
                          const depthwise_dsp_params *p)
{
  const int32_t whole = p->channels & ~3;
  const int32_t four_words = pair != 0 ? 22 : 12 + count;
  int32_t channel, tap;
  depthwise_pixel pixel;
  pixel.packed = p->packed;
  pixel.output = output;
  pixel.step = step;
  pixel.zero = p->output_zero;
  pixel.taps = taps;
  pixel.end = taps + count;
  pixel.first = 0;
  pixel.channels = whole;
  if (p->scaling == DSP_SCALE_C) {
    for (channel = 0; channel < whole; channel += 4) {
      pixel.first = channel;
      pixel.channels = channel + 4;
      finish_four(&pixel, output, channel, pair, p);
      pixel.packed += four_words;
    }
  } else if (whole > 0) {
    if (p->scaling == DSP_SCALE_RELU) {
      (pair != 0 ? pair_3x3_relu : single_relu)(&pixel);
    } else {
      (pair != 0 ? pair_3x3_plain : single_plain)(&pixel);
    }
    pixel.packed += (whole / 4) * four_words;
  }
  if (whole < p->channels) { /* the last channels are copied, so that nothing beyond them is read */
    int8_t rest[4 * DEPTHWISE_DSP_TAPS] = {0};
    const int8_t *rest_taps[DEPTHWISE_DSP_TAPS];
    for (tap = 0; tap < count; tap++) {
      for (channel = whole; channel < p->channels; channel++) {
        rest[4 * tap + channel - whole] = taps[tap][channel];
      }
      rest_taps[tap] = rest + 4 * tap;
    }
    pixel.taps = rest_taps;
    pixel.end = rest_taps + count;
    pixel.first = 0;
    pixel.channels = 4;
    finish_four(&pixel, output, whole, pair, p);
  }
}

static const int8_t *pixel_at(const int8_t *input, const int8_t *zeros, int32_t row, int32_t column,
                              const depthwise_dsp_params *p)
{
  const int32_t inside = row >= 0 && row < p->input_height && column >= 0 && column < p->input_width;
  return inside != 0 ? input + (row * p->input_width + column) * p->channels : zeros;
}

void depthwise_dsp(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p)
{
  const int8_t *taps[DEPTHWISE_DSP_TAPS];
  int32_t row, column, i, j;
  memset(scratch, p->input_zero, (size_t)p->channels);
  for (row = 0; row < p->output_height; row++) {
    for (column = 0; column < p->output_width; column++) {
      int32_t count = 0;
      for (i = 0; i < p->kernel_height; i++) {
        for (j = 0; j < p->kernel_width; j++) {
          taps[count++] = pixel_at(input, scratch, row * p->stride_height - p->pad_top + i * p->dilation_height,
                                   column * p->stride_width - p->pad_left + j * p->dilation_width, p);
        }
      }
      if ((count & 1) != 0) {
        taps[count++] = scratch;
      }
      finish_pixels(taps, count, output, 0, 0, p);
      output += p->channels;
    }
  }
}

void depthwise_3x3_dsp(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p)
{
  const int8_t *taps[12];
  int32_t row, column, i;
  memset(scratch, p->input_zero, (size_t)p->channels);
  for (row = 0; row < p->output_height; row++) {
    const int32_t top = row - p->pad_top;
    for (column = 0; column < p->output_width; column += 2) {
      const int32_t left = column - p->pad_left;
      const int32_t pixels = column + 1 < p->output_width ? 2 : 1;
      if (column > 0 && left > 1 && left + 3 < p->input_width) {
        for (i = 0; i < 12; i++) {
          taps[i] += taps[i] == (const int8_t *)scratch ? 0 : 2 * p->channels;
        }
      } else {
        for (i = 0; i < 4; i++) {
          taps[2 * i] = pixel_at(input, scratch, top, left + i, p);
          taps[2 * i + 1] = pixel_at(input, scratch, top + 1, left + i, p);
          taps[8 + i] = pixel_at(input, scratch, top + 2, left + i, p);
        }
      }
      finish_pixels(taps, 12, output, 1, pixels == 2 ? p->channels : 0, p);
      output += pixels * p->channels;
    }
  }
}
