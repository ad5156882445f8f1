/* Pixels of depthwise convolutions: one of any kernel, or two of 3 x 3, four channels at a time. Written by
   stm32pose.

   In assembly here, in C in kernels_depthwise_dsp_pixels_c.h: GCC has more values in registers than it can keep
   there. */
#ifndef KERNELS_DEPTHWISE_DSP_PIXELS_H
#define KERNELS_DEPTHWISE_DSP_PIXELS_H

#include "kernels_depthwise_dsp.h"

/* What the inner loops need; the assembly knows the places of its members. */
typedef struct {
  const uint32_t *packed; /* 0: as in the parameters */
  int8_t *output;         /* 4: of the pixel, or of the first of two */
  int32_t step;           /* 8: bytes to the second one's; 0: only the first is wanted, and written last */
  int32_t channels;       /* 12: the end of those to be made, whole fours */
  const int8_t **taps;    /* 16: pixels of the input, or the row of zero points */
  const int8_t **end;     /* 20: of `taps` */
  int32_t first;          /* 24: of the channels to be made */
  dsp_limits limits;      /* 28, 32, 36 */
  int32_t scaling;        /* for C alone */
} depthwise_pixel;

typedef void (*pixel_maker)(const depthwise_pixel *pixel);

#if KERNELS_DSP_ASSEMBLY

/* clang-format off */
/* Two channels of two pixels. In: r4-r7 words of the first two rows of four columns, r8 and r9 the third row's,
   columns in pairs. Out: r11 and r12 the first pixel's sums, r0 and r1 the second's. */
#define SUMS_STRIDE_1                                                                                                  \
  "ldmia lr!, {r0-r2}\n"                                                                                               \
  "sxtb16 r10, r4\n"                                                                                                   \
  "sxtb16 r4, r4, ror #8\n"                                                                                            \
  "sxtb16 r3, r2\n"                                                                                                    \
  "sxtb16 r2, r2, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r0\n"                                                                                           \
  "smlad r12, r2, r4, r1\n"                                                                                            \
  "sxtb16 r10, r5\n"                                                                                                   \
  "sxtb16 r4, r5, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "ldrd r2, r5, [lr], #8\n"                                                                                            \
  "sxtb16 r3, r2\n"                                                                                                    \
  "sxtb16 r2, r2, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r6\n"                                                                                                   \
  "sxtb16 r4, r6, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "sxtb16 r3, r5\n"                                                                                                    \
  "sxtb16 r2, r5, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r7\n"                                                                                                   \
  "sxtb16 r4, r7, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "ldrd r5, r6, [lr], #8\n"                                                                                            \
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

/* The same two columns apart. In: r4-r8 words of the first two rows of five columns, at `third` on the stack three of
   the third row. The columns are taken in the order 0, 2, 4, 1, 3, so that weights and columns are spread once. */
#define SUMS_STRIDE_2(third)                                                                                           \
  "ldmia lr!, {r0-r2}\n"                                                                                               \
  "sxtb16 r10, r4\n"                                                                                                   \
  "sxtb16 r4, r4, ror #8\n"                                                                                            \
  "sxtb16 r3, r2\n"                                                                                                    \
  "sxtb16 r2, r2, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r0\n"                                                                                           \
  "smlad r12, r2, r4, r1\n"                                                                                            \
  "sxtb16 r10, r6\n"                                                                                                   \
  "sxtb16 r4, r6, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "ldrd r6, r9, [lr], #8\n"                                                                                            \
  "sxtb16 r3, r9\n"                                                                                                    \
  "sxtb16 r2, r9, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r8\n"                                                                                                   \
  "sxtb16 r4, r8, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "sxtb16 r3, r6\n"                                                                                                    \
  "sxtb16 r2, r6, ror #8\n"                                                                                            \
  "sxtb16 r10, r5\n"                                                                                                   \
  "sxtb16 r4, r5, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r7\n"                                                                                                   \
  "sxtb16 r4, r7, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "ldrd r5, r6, [lr], #8\n"                                                                                            \
  "ldrd r7, r8, [sp, #" third "]\n"                                                                                    \
  "ldr r9, [sp, #" third "+8]\n"                                                                                       \
  "sxtb16 r10, r7\n"                                                                                                   \
  "sxtb16 r4, r7, ror #8\n"                                                                                            \
  "sxtb16 r3, r5\n"                                                                                                    \
  "sxtb16 r2, r5, ror #8\n"                                                                                            \
  "smlad r11, r3, r10, r11\n"                                                                                          \
  "smlad r12, r2, r4, r12\n"                                                                                           \
  "sxtb16 r10, r8\n"                                                                                                   \
  "sxtb16 r4, r8, ror #8\n"                                                                                            \
  "smlad r0, r3, r10, r0\n"                                                                                            \
  "smlad r1, r2, r4, r1\n"                                                                                             \
  "sxtb16 r3, r6\n"                                                                                                    \
  "sxtb16 r2, r6, ror #8\n"                                                                                            \
  "smlabt r11, r10, r3, r11\n"                                                                                         \
  "smlabt r12, r4, r2, r12\n"                                                                                          \
  "sxtb16 r10, r9\n"                                                                                                   \
  "sxtb16 r4, r9, ror #8\n"                                                                                            \
  "smlabt r0, r10, r3, r0\n"                                                                                           \
  "smlabt r1, r4, r2, r1\n"

/* dsp_scale of these four sums. The frame: 0 words of the other two channels, 48 packed, 52 output, 56 step, 60
   channels, 64 taps, 68 end, 72 first, 76 zero, 80 middle, 84 back, 88 the channels at hand. */
#define SCALE_3X3(halves)                                                                                              \
  "ldmia lr!, {r2-r5}\n"                                                                                               \
  "ldr r6, [sp, #76]\n"                                                                                                \
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
  "ssat r1, #8, r1\n"

#define HALVES_AWAY_3X3                                                                                                \
  "add r11, r11, r11, asr #31\n"                                                                                       \
  "add r0, r0, r0, asr #31\n"                                                                                          \
  "add r12, r12, r12, asr #31\n"                                                                                       \
  "add r1, r1, r1, asr #31\n"

#define GENERAL_3X3                                                                                                    \
  "ldmia lr!, {r2-r5}\n"                                                                                               \
  "ldr r6, [sp, #76]\n"                                                                                                \
  "lsl r11, r11, r3\n"                                                                                                 \
  "lsl r0, r0, r3\n"                                                                                                   \
  "smmlar r11, r11, r2, r11\n"                                                                                         \
  "smmlar r0, r0, r2, r0\n"                                                                                            \
  "lsl r11, r11, r4\n"                                                                                                 \
  "lsl r0, r0, r4\n"                                                                                                   \
  "add r11, r11, r11, asr #31\n"                                                                                       \
  "add r0, r0, r0, asr #31\n"                                                                                          \
  "smmlsr r11, r11, r5, r6\n"                                                                                          \
  "smmlsr r0, r0, r5, r6\n"                                                                                            \
  "ldmia lr!, {r2-r5}\n"                                                                                               \
  "lsl r12, r12, r3\n"                                                                                                 \
  "lsl r1, r1, r3\n"                                                                                                   \
  "smmlar r12, r12, r2, r12\n"                                                                                         \
  "smmlar r1, r1, r2, r1\n"                                                                                            \
  "lsl r12, r12, r4\n"                                                                                                 \
  "lsl r1, r1, r4\n"                                                                                                   \
  "add r12, r12, r12, asr #31\n"                                                                                       \
  "add r1, r1, r1, asr #31\n"                                                                                          \
  "smmlsr r12, r12, r5, r6\n"                                                                                          \
  "smmlsr r1, r1, r5, r6\n"                                                                                            \
  "ldrd r2, r3, [sp, #80]\n"                                                                                           \
  "ssat r11, #8, r11\n"                                                                                                \
  "ssat r0, #8, r0\n"                                                                                                  \
  "ssat r12, #8, r12\n"                                                                                                \
  "ssat r1, #8, r1\n"                                                                                                  \
  "add r11, r11, r2\n"                                                                                                 \
  "add r0, r0, r2\n"                                                                                                   \
  "add r12, r12, r2\n"                                                                                                 \
  "add r1, r1, r2\n"                                                                                                   \
  "ssat r11, #8, r11\n"                                                                                                \
  "ssat r0, #8, r0\n"                                                                                                  \
  "ssat r12, #8, r12\n"                                                                                                \
  "ssat r1, #8, r1\n"                                                                                                  \
  "add r11, r11, r3\n"                                                                                                 \
  "add r0, r0, r3\n"                                                                                                   \
  "add r12, r12, r3\n"                                                                                                 \
  "add r1, r1, r3\n"

#define FLOAT_3X3                                                                                                      \
  "ldmia lr!, {r2-r5}\n"                                                                                               \
  "ldr r6, [sp, #76]\n"                                                                                                \
  "vmov s0, r2\n"                                                                                                      \
  "vmov s1, r4\n"                                                                                                      \
  "vmov s4, s5, r11, r12\n"                                                                                            \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s0\n"                                                                                              \
  "vmul.f32 s5, s5, s1\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r11, r12, s4, s5\n"                                                                                            \
  "vmov s4, s5, r0, r1\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s0\n"                                                                                              \
  "vmul.f32 s5, s5, s1\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r0, r1, s4, s5\n"                                                                                              \
  "qadd r11, r11, r6\n"                                                                                                \
  "qadd r12, r12, r6\n"                                                                                                \
  "qadd r0, r0, r6\n"                                                                                                  \
  "qadd r1, r1, r6\n"                                                                                                  \
  "ldrd r2, r3, [sp, #80]\n"                                                                                           \
  "ssat r11, #8, r11\n"                                                                                                \
  "ssat r0, #8, r0\n"                                                                                                  \
  "ssat r12, #8, r12\n"                                                                                                \
  "ssat r1, #8, r1\n"                                                                                                  \
  "add r11, r11, r2\n"                                                                                                 \
  "add r0, r0, r2\n"                                                                                                   \
  "add r12, r12, r2\n"                                                                                                 \
  "add r1, r1, r2\n"                                                                                                   \
  "ssat r11, #8, r11\n"                                                                                                \
  "ssat r0, #8, r0\n"                                                                                                  \
  "ssat r12, #8, r12\n"                                                                                                \
  "ssat r1, #8, r1\n"                                                                                                  \
  "add r11, r11, r3\n"                                                                                                 \
  "add r0, r0, r3\n"                                                                                                   \
  "add r12, r12, r3\n"                                                                                                 \
  "add r1, r1, r3\n"

/* Four outputs; the second pixel's first, for where there is none. */
#define STORE_3X3                                                                                                      \
  "ldrd r7, r8, [sp, #52]\n"                                                                                           \
  "strb r0, [r7, r8]\n"                                                                                                \
  "strb r11, [r7], #1\n"                                                                                               \
  "strb r1, [r7, r8]\n"                                                                                                \
  "strb r12, [r7], #1\n"                                                                                               \
  "str r7, [sp, #52]\n"

/* The sums: the second pixel's two, the first one's two. `step` is the number of bytes of scales to pass over. */
#define KEEP_3X3                                                                                                       \
  "ldr r7, [sp, #52]\n"                                                                                                \
  "stmia r7!, {r0, r1, r11, r12}\n"                                                                                    \
  "str r7, [sp, #52]\n"                                                                                                \
  "ldr r7, [sp, #56]\n"                                                                                                \
  "add lr, r7\n"

/* Four channels of the next four taps. */
#define LOAD_4                                                                                                         \
  "ldmia r10!, {r0-r3}\n"                                                                                              \
  "ldr r0, [r0, r12]\n"                                                                                                \
  "ldr r1, [r1, r12]\n"                                                                                                \
  "ldr r2, [r2, r12]\n"                                                                                                \
  "ldr r3, [r3, r12]\n"

/* Mixed by columns: the words of the first two channels go to `x` and `y`, those of the other two to the stack. */
#define MIX_4(x, y, place)                                                                                             \
  "pkhbt " x ", r0, r1, lsl #16\n"                                                                                     \
  "pkhtb r0, r1, r0, asr #16\n"                                                                                        \
  "pkhbt " y ", r2, r3, lsl #16\n"                                                                                     \
  "pkhtb r1, r3, r2, asr #16\n"                                                                                        \
  "strd r0, r1, [sp, #" place "]\n"

#define ENTER_3X3                                                                                                      \
  "push {r4-r11, lr}\n"                                                                                                \
  "ldm r0, {r4-r11}\n"                                                                                                 \
  "ldrd r2, r3, [r0, #32]\n"                                                                                           \
  "sub sp, #92\n"                                                                                                      \
  "strd r2, r3, [sp, #80]\n"                                                                                           \
  "mov lr, r4\n"                                                                                                       \
  "mov r12, r10\n"                                                                                                     \
  "add r0, sp, #48\n"                                                                                                  \
  "stm r0, {r4-r11}\n"                                                                                                 \
  "mov r10, r8\n"                                                                                                      \
  "1:\n"

#define LEAVE_3X3                                                                                                      \
  "ldrd r0, r10, [sp, #60]\n"                                                                                          \
  "ldr r12, [sp, #88]\n"                                                                                               \
  "cmp r12, r0\n"                                                                                                      \
  "bne 1b\n"                                                                                                           \
  "add sp, #92\n"                                                                                                      \
  "pop {r4-r11, pc}\n"

#define PAIR_STRIDE_1(finish)                                                                                          \
  ENTER_3X3                                                                                                            \
  LOAD_4 MIX_4("r4", "r5", "0")                                                                                        \
  LOAD_4 MIX_4("r6", "r7", "8")                                                                                        \
  LOAD_4 MIX_4("r8", "r9", "16")                                                                                       \
  "adds r12, #4\n"                                                                                                     \
  "str r12, [sp, #88]\n"                                                                                               \
  SUMS_STRIDE_1 finish                                                                                                 \
  "ldm sp, {r4-r9}\n"                                                                                                  \
  SUMS_STRIDE_1 finish                                                                                                 \
  LEAVE_3X3

#define PAIR_STRIDE_2(finish)                                                                                          \
  ENTER_3X3                                                                                                            \
  LOAD_4 MIX_4("r4", "r5", "0")                                                                                        \
  LOAD_4 MIX_4("r6", "r7", "8")                                                                                        \
  LOAD_4 MIX_4("r8", "r9", "16")                                                                                       \
  "str r9, [sp, #32]\n"                                                                                                \
  LOAD_4 MIX_4("r9", "r11", "24")                                                                                      \
  "strd r9, r11, [sp, #36]\n"                                                                                          \
  "adds r12, #4\n"                                                                                                     \
  "str r12, [sp, #88]\n"                                                                                               \
  SUMS_STRIDE_2("32") finish                                                                                           \
  "ldm sp, {r4-r8}\n"                                                                                                  \
  SUMS_STRIDE_2("20") finish                                                                                           \
  LEAVE_3X3

/* Any kernel, one pixel, four channels: r4-r7 are the sums. The frame: 0 packed, 4 output, 8 step, 12 channels,
   16 taps, 20 end, 24 first, 28 zero, 32 middle, 36 back. */
#define DEPTHWISE_1(finish)                                                                                            \
  "push {r4-r11, lr}\n"                                                                                                \
  "ldm r0, {r4-r11}\n"                                                                                                 \
  "ldrd r2, r3, [r0, #32]\n"                                                                                           \
  "sub sp, #40\n"                                                                                                      \
  "stm sp, {r4-r11}\n"                                                                                                 \
  "strd r2, r3, [sp, #32]\n"                                                                                           \
  "mov lr, r4\n"                                                                                                       \
  "mov r12, r10\n"                                                                                                     \
  "mov r10, r9\n"                                                                                                     \
  "1:\n"                                                                                                               \
  "ldmia lr!, {r4-r7}\n"                                                                                               \
  "ldr r11, [sp, #16]\n"                                                                                               \
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
  "ldr r0, [sp, #12]\n"                                                                                                \
  "adds r12, #4\n"                                                                                                     \
  "cmp r12, r0\n"                                                                                                      \
  "bne 1b\n"                                                                                                           \
  "add sp, #40\n"                                                                                                      \
  "pop {r4-r11, pc}\n"

#define SCALE_DEPTHWISE_1(halves)                                                                                      \
  "ldr r8, [sp, #28]\n"                                                                                                \
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
  "ssat r7, #8, r7\n"

#define HALVES_AWAY_DEPTHWISE_1                                                                                        \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "add r5, r5, r5, asr #31\n"                                                                                          \
  "add r6, r6, r6, asr #31\n"                                                                                          \
  "add r7, r7, r7, asr #31\n"

#define GENERAL_DEPTHWISE_1                                                                                            \
  "ldr r8, [sp, #28]\n"                                                                                                \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "lsl r4, r4, r1\n"                                                                                                   \
  "smmlar r4, r4, r0, r4\n"                                                                                            \
  "lsl r4, r4, r2\n"                                                                                                   \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "smmlsr r4, r4, r3, r8\n"                                                                                            \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "lsl r5, r5, r1\n"                                                                                                   \
  "smmlar r5, r5, r0, r5\n"                                                                                            \
  "lsl r5, r5, r2\n"                                                                                                   \
  "add r5, r5, r5, asr #31\n"                                                                                          \
  "smmlsr r5, r5, r3, r8\n"                                                                                            \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "lsl r6, r6, r1\n"                                                                                                   \
  "smmlar r6, r6, r0, r6\n"                                                                                            \
  "lsl r6, r6, r2\n"                                                                                                   \
  "add r6, r6, r6, asr #31\n"                                                                                          \
  "smmlsr r6, r6, r3, r8\n"                                                                                            \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "lsl r7, r7, r1\n"                                                                                                   \
  "smmlar r7, r7, r0, r7\n"                                                                                            \
  "lsl r7, r7, r2\n"                                                                                                   \
  "add r7, r7, r7, asr #31\n"                                                                                          \
  "smmlsr r7, r7, r3, r8\n"                                                                                            \
  "ldrd r0, r1, [sp, #32]\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "add r4, r4, r0\n"                                                                                                   \
  "add r5, r5, r0\n"                                                                                                   \
  "add r6, r6, r0\n"                                                                                                   \
  "add r7, r7, r0\n"                                                                                                   \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "add r4, r4, r1\n"                                                                                                   \
  "add r5, r5, r1\n"                                                                                                   \
  "add r6, r6, r1\n"                                                                                                   \
  "add r7, r7, r1\n"

#define FLOAT_DEPTHWISE_1                                                                                              \
  "ldr r8, [sp, #28]\n"                                                                                                \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "vmov s0, r0\n"                                                                                                      \
  "vmov s1, r2\n"                                                                                                      \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "vmov s2, r0\n"                                                                                                      \
  "vmov s3, r2\n"                                                                                                      \
  "vmov s4, s5, r4, r5\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s0\n"                                                                                              \
  "vmul.f32 s5, s5, s1\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r4, r5, s4, s5\n"                                                                                              \
  "vmov s4, s5, r6, r7\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s2\n"                                                                                              \
  "vmul.f32 s5, s5, s3\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r6, r7, s4, s5\n"                                                                                              \
  "qadd r4, r4, r8\n"                                                                                                  \
  "qadd r5, r5, r8\n"                                                                                                  \
  "qadd r6, r6, r8\n"                                                                                                  \
  "qadd r7, r7, r8\n"                                                                                                  \
  "ldrd r0, r1, [sp, #32]\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "add r4, r4, r0\n"                                                                                                   \
  "add r5, r5, r0\n"                                                                                                   \
  "add r6, r6, r0\n"                                                                                                   \
  "add r7, r7, r0\n"                                                                                                   \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "add r4, r4, r1\n"                                                                                                   \
  "add r5, r5, r1\n"                                                                                                   \
  "add r6, r6, r1\n"                                                                                                   \
  "add r7, r7, r1\n"

#define STORE_DEPTHWISE_1                                                                                              \
  "strb r4, [r9], #1\n"                                                                                                \
  "strb r5, [r9], #1\n"                                                                                                \
  "strb r6, [r9], #1\n"                                                                                                \
  "strb r7, [r9], #1\n"

#define KEEP_DEPTHWISE_1                                                                                               \
  "stmia r9!, {r4-r7}\n"                                                                                               \
  "ldr r0, [sp, #8]\n"                                                                                                 \
  "add lr, r0\n"

#if NETWORK_ROUNDING_FLOAT
DSP_NAKED static void pair_1_float(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_1(FLOAT_3X3 STORE_3X3));
}

DSP_NAKED static void pair_2_float(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_2(FLOAT_3X3 STORE_3X3));
}

DSP_NAKED static void single_float(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(FLOAT_DEPTHWISE_1 STORE_DEPTHWISE_1));
}
#else
DSP_NAKED static void pair_1_relu(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_1(SCALE_3X3("") STORE_3X3));
}

DSP_NAKED static void pair_2_relu(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_2(SCALE_3X3("") STORE_3X3));
}

DSP_NAKED static void single_relu(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(SCALE_DEPTHWISE_1("") STORE_DEPTHWISE_1));
}

DSP_NAKED static void pair_1_plain(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_1(SCALE_3X3(HALVES_AWAY_3X3) STORE_3X3));
}

DSP_NAKED static void pair_2_plain(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_2(SCALE_3X3(HALVES_AWAY_3X3) STORE_3X3));
}

DSP_NAKED static void single_plain(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(SCALE_DEPTHWISE_1(HALVES_AWAY_DEPTHWISE_1) STORE_DEPTHWISE_1));
}

DSP_NAKED static void pair_1_general(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_1(GENERAL_3X3 STORE_3X3));
}

DSP_NAKED static void pair_2_general(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_2(GENERAL_3X3 STORE_3X3));
}

DSP_NAKED static void single_general(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(GENERAL_DEPTHWISE_1 STORE_DEPTHWISE_1));
}
#endif

/* The sums of four channels as they are, int32, where the output would be: second pixel a, b, first pixel a, b, then
   c and d. `step` are the bytes of the numbers for scaling that are passed over at a time. */
DSP_NAKED static void pair_1_sums(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_1(KEEP_3X3));
}

DSP_NAKED static void pair_2_sums(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(PAIR_STRIDE_2(KEEP_3X3));
}

/* The same of one pixel. */
DSP_NAKED static void single_sums(const depthwise_pixel *pixel __attribute__((unused)))
{
  __asm__ volatile(DEPTHWISE_1(KEEP_DEPTHWISE_1));
}
/* clang-format on */

#else
#include "kernels_depthwise_dsp_pixels_c.h"
#endif

#endif /* KERNELS_DEPTHWISE_DSP_PIXELS_H */
