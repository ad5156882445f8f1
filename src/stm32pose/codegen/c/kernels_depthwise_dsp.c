/* Depthwise convolutions with the DSP instructions of Cortex-M. Written by stm32pose.

   Four channels lie in one word. Words of two pixels are mixed so that both factors of one channel stand in the halves of
   a word: one instruction then multiplies with two weights. What lies outside the input is read from a row of zero points. */
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

#if KERNELS_DSP_ASSEMBLY

/* clang-format off */
/* Two channels of two pixels. In: r4-r7 words of the first two rows of four columns, r8 and r9 the third row's, columns in
   pairs. Out: r11 and r12 the first pixel's sums, r0 and r1 the second's. */
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

/* The same two columns apart. In: r4-r8 words of the first two rows of five columns, at `third` on the stack three of the
   third row. The columns are taken in the order 0, 2, 4, 1, 3, so that weights and columns are spread once. */
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

/* dsp_scale of these four sums. The frame: 0 words of the other two channels, 48 packed, 52 output, 56 step, 60 channels,
   64 taps, 68 end, 72 first, 76 zero, 80 middle, 84 back, 88 the channels at hand. */
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

/* The sums of four channels as they are, int32, where the output would be: second pixel a, b, first pixel a, b, then c and
   d. `step` are the bytes of the numbers for scaling that are passed over at a time. */
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

/* The bytes of channels a and b of two pixels, a of both in the even places; of c and d where `upper` is 1. */
static uint32_t mix(const int8_t *first, const int8_t *second, int32_t upper)
{
  const uint32_t one = dsp_load(first) >> (16 * upper);
  const uint32_t two = dsp_load(second) >> (16 * upper);
  return (one & 0xFFFFu) | (two << 16);
}

/* Sums of two channels, `channel` after the first, of two pixels: second pixel a, b, first pixel a, b. */
static void sums_3x3(const depthwise_pixel *pixel, const uint32_t *packed, int32_t channel, uint32_t *sums)
{
  const int32_t upper = (channel >> 1) & 1;
  const int32_t four = pixel->first + (channel & ~3);
  const int32_t mixed = (int32_t)(pixel->end - pixel->taps) / 2; /* 6 of stride 1, 8 of stride 2 */
  const int32_t stride = mixed / 2 - 2;
  uint32_t x[8];
  int32_t i, j, k;
  for (i = 0; i < mixed; i++) {
    x[i] = mix(pixel->taps[2 * i] + four, pixel->taps[2 * i + 1] + four, upper);
  }
  for (k = 0; k < 2; k++) {
    uint32_t columns[8], weights[5], first = packed[k], second = packed[k];
    const uint32_t *third = columns + 3 + stride;
    for (i = 0; i < mixed; i++) {
      columns[i] = k == 0 ? dsp_even(x[i]) : dsp_odd(x[i]);
    }
    for (i = 0; i < 5; i++) {
      weights[i] = k == 0 ? dsp_even(packed[2 + i]) : dsp_odd(packed[2 + i]);
    }
    for (j = 0; j < 3; j++) {
      first = dsp_dual(columns[j], weights[j], first);
      second = dsp_dual(columns[j + stride], weights[j], second);
    }
    first = dsp_dual(third[0], weights[3], first);
    first += (uint32_t)(dsp_half(third[1], 0) * dsp_half(weights[4], 1));
    if (stride == 1) {
      second += (uint32_t)(dsp_half(third[0], 1) * dsp_half(weights[3], 0));
      second = dsp_dual(third[1], weights[4], second);
    } else {
      second = dsp_dual(third[1], weights[3], second);
      second += (uint32_t)(dsp_half(third[2], 0) * dsp_half(weights[4], 1));
    }
    sums[k] = second;
    sums[2 + k] = first;
  }
}

static void pair_3x3(const depthwise_pixel *pixel)
{
  const int32_t scale_words = dsp_scale_words(pixel->scaling);
  const uint32_t *packed = pixel->packed;
  int32_t channel, i;
  for (channel = 0; channel < pixel->channels - pixel->first; channel += 2) {
    uint32_t sums[4];
    sums_3x3(pixel, packed, channel, sums);
    packed += 7;
    for (i = 0; i < 4; i++) {
      pixel->output[(i < 2 ? pixel->step : 0) + channel + (i & 1)] =
          dsp_scale(sums[i], packed + scale_words * (i & 1), &pixel->limits, pixel->scaling);
    }
    packed += 2 * scale_words;
  }
}

static void pair_sums(const depthwise_pixel *pixel)
{
  uint32_t sums[8];
  sums_3x3(pixel, pixel->packed, 0, sums);
  sums_3x3(pixel, pixel->packed + 7 + pixel->step / 4, 2, sums + 4);
  memcpy(pixel->output, sums, sizeof sums);
}

static const uint32_t *sums_1(const depthwise_pixel *pixel, const uint32_t *packed, int32_t channel, uint32_t *sums)
{
  const int8_t **tap;
  memcpy(sums, packed, 4 * sizeof *sums);
  packed += 4;
  for (tap = pixel->taps; tap != pixel->end; tap += 2) {
    int32_t upper;
    for (upper = 0; upper < 2; upper++) {
      const uint32_t x = mix(tap[0] + pixel->first + channel, tap[1] + pixel->first + channel, upper);
      sums[2 * upper] = dsp_dual(dsp_even(x), dsp_even(*packed), sums[2 * upper]);
      sums[2 * upper + 1] = dsp_dual(dsp_odd(x), dsp_odd(*packed), sums[2 * upper + 1]);
      packed++;
    }
  }
  return packed;
}

static void single(const depthwise_pixel *pixel)
{
  const int32_t scale_words = dsp_scale_words(pixel->scaling);
  const uint32_t *packed = pixel->packed;
  int32_t channel, i;
  for (channel = 0; channel < pixel->channels - pixel->first; channel += 4) {
    uint32_t sums[4];
    packed = sums_1(pixel, packed, channel, sums);
    for (i = 0; i < 4; i++) {
      pixel->output[channel + i] = dsp_scale(sums[i], packed + scale_words * i, &pixel->limits, pixel->scaling);
    }
    packed += 4 * scale_words;
  }
}

static void single_sums(const depthwise_pixel *pixel)
{
  uint32_t sums[4];
  (void)sums_1(pixel, pixel->packed, 0, sums);
  memcpy(pixel->output, sums, sizeof sums);
}
#endif

/* What makes pixels: one of any kernel, or two of a row with a kernel of 3 x 3, one or two columns apart. */
enum { SINGLE = 0, PAIR_1 = 1, PAIR_2 = 2 };

typedef void (*pixel_maker)(const depthwise_pixel *pixel);

/* What makes whole fours of channels. */
static pixel_maker maker_of(int32_t kind, int32_t scaling)
{
#if !KERNELS_DSP_ASSEMBLY
  (void)scaling;
  return kind == SINGLE ? single : pair_3x3;
#elif NETWORK_ROUNDING_FLOAT
  (void)scaling;
  return kind == SINGLE ? single_float : kind == PAIR_1 ? pair_1_float : pair_2_float;
#else
  static const pixel_maker makers[3][3] = {{single_relu, single_plain, single_general},
                                           {pair_1_relu, pair_1_plain, pair_1_general},
                                           {pair_2_relu, pair_2_plain, pair_2_general}};
  return makers[kind][scaling <= DSP_SCALE_GENERAL ? scaling : DSP_SCALE_GENERAL];
#endif
}

/* The sums of four channels as they are: see pair_..._sums and single_sums. */
static void four_sums(const depthwise_pixel *pixel, int32_t kind)
{
#if KERNELS_DSP_ASSEMBLY
  (kind == SINGLE ? single_sums : kind == PAIR_1 ? pair_1_sums : pair_2_sums)(pixel);
#else
  (kind == SINGLE ? single_sums : pair_sums)(pixel);
#endif
}

static int8_t finish(int32_t sum, const uint32_t *scale, const depthwise_dsp_params *p)
{
  return (int8_t)clamp(dsp_requantize(sum, scale, 0) + p->output_zero, p->activation_min, p->activation_max);
}

/* Four channels, fewer at the end, from their sums; of two pixels where `step`, the bytes between them, is not 0. */
static void finish_four(depthwise_pixel *pixel, int8_t *output, int32_t channel, int32_t kind, int32_t step,
                        const depthwise_dsp_params *p)
{
  const int32_t scale_words = dsp_scale_words(p->scaling);
  const uint32_t *packed = pixel->packed;
  int32_t sums[8];
  int32_t i;
  pixel->output = (int8_t *)sums;
  pixel->step = (kind != SINGLE ? 8 : 16) * scale_words;
  four_sums(pixel, kind);
  for (i = 0; i < 4 && channel + i < p->channels; i++) {
    if (kind != SINGLE) {
      const uint32_t *scale = packed + 7 + (i / 2) * (7 + 2 * scale_words) + scale_words * (i & 1);
      const int32_t *both = sums + 4 * (i / 2) + (i & 1);
      if (step != 0) {
        output[step + channel + i] = finish(both[0], scale, p);
      }
      output[channel + i] = finish(both[2], scale, p);
    } else {
      output[channel + i] = finish(sums[i], packed + 4 + (pixel->end - pixel->taps) + scale_words * i, p);
    }
  }
}

/* Channels by requantize(): all, or those after the last whole four, which are copied so that nothing beyond is read. */
static void finish_in_c(const depthwise_pixel *given, int8_t *output, int32_t kind, int32_t step,
                        const depthwise_dsp_params *p)
{
  const int32_t whole = p->channels & ~3;
  const int32_t count = (int32_t)(given->end - given->taps);
  const int32_t four_words = (kind != SINGLE ? 14 : 4 + count) + 4 * dsp_scale_words(p->scaling);
  depthwise_pixel pixel = *given;
  int32_t channel, tap;
  pixel.packed = p->packed;
  if (p->scaling >= DSP_SCALE_C) {
    for (channel = 0; channel < whole; channel += 4) {
      pixel.first = given->first + channel;
      pixel.channels = pixel.first + 4;
      finish_four(&pixel, output, channel, kind, step, p);
      pixel.packed += four_words;
    }
  } else {
    pixel.packed += (whole / 4) * four_words;
  }
  if (whole < p->channels) {
    int8_t rest[4 * DEPTHWISE_DSP_TAPS] = {0};
    const int8_t *rest_taps[DEPTHWISE_DSP_TAPS];
    for (tap = 0; tap < count; tap++) {
      for (channel = whole; channel < p->channels; channel++) {
        rest[4 * tap + channel - whole] = given->taps[tap][given->first + channel];
      }
      rest_taps[tap] = rest + 4 * tap;
    }
    pixel.taps = rest_taps;
    pixel.end = rest_taps + count;
    pixel.first = 0;
    pixel.channels = 4;
    finish_four(&pixel, output, whole, kind, step, p);
  }
}

/* What all pixels have in common. */
static void start_pixels(depthwise_pixel *pixel, const int8_t **taps, int32_t count, const depthwise_dsp_params *p)
{
  pixel->packed = p->packed;
  pixel->taps = taps;
  pixel->end = taps + count;
  pixel->limits = dsp_limits_of(p->scaling, p->output_zero, p->activation_min, p->activation_max);
  pixel->scaling = p->scaling;
}

/* The input's row, or none where it is outside. */
static const int8_t *row_at(const int8_t *input, int32_t row, const depthwise_dsp_params *p)
{
  return row >= 0 && row < p->input_height ? input + row * p->input_width * p->channels : NULL;
}

static const int8_t *pixel_at(const int8_t *row, int32_t column, const int8_t *zeros, const depthwise_dsp_params *p)
{
  return row != NULL && column >= 0 && column < p->input_width ? row + column * p->channels : zeros;
}

void depthwise_dsp(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p)
{
  const int32_t taps_used = p->kernel_height * p->kernel_width;
  const int32_t whole = p->scaling < DSP_SCALE_C ? p->channels & ~3 : 0;
  const pixel_maker make = maker_of(SINGLE, p->scaling);
  const int8_t *taps[DEPTHWISE_DSP_TAPS];
  int32_t row, column, i, j;
  depthwise_pixel pixel;
  memset(scratch, p->input_zero, (size_t)p->channels);
  start_pixels(&pixel, taps, taps_used + (taps_used & 1), p);
  pixel.step = 0;
  pixel.first = 0;
  pixel.channels = whole;
  taps[taps_used] = scratch;
  for (row = 0; row < p->output_height; row++) {
    for (column = 0; column < p->output_width; column++) {
      const int32_t left = column * p->stride_width - p->pad_left;
      const int8_t **tap = taps;
      for (i = 0; i < p->kernel_height; i++) {
        const int8_t *line = row_at(input, row * p->stride_height - p->pad_top + i * p->dilation_height, p);
        for (j = 0; j < p->kernel_width; j++) {
          *tap++ = pixel_at(line, left + j * p->dilation_width, scratch, p);
        }
      }
      pixel.output = output;
      if (whole > 0) {
        make(&pixel);
      }
      if (whole < p->channels) {
        finish_in_c(&pixel, output, SINGLE, 0, p);
      }
      output += p->channels;
    }
  }
}

void depthwise_3x3_dsp(const int8_t *input, int8_t *output, void *scratch, const depthwise_dsp_params *p)
{
  const int32_t kind = p->stride_width == 1 ? PAIR_1 : PAIR_2;
  const int32_t columns = 3 + p->stride_width;
  const int32_t whole = p->scaling < DSP_SCALE_C ? p->channels & ~3 : 0;
  const pixel_maker make = maker_of(kind, p->scaling);
  const int8_t *taps[16] = {scratch};
  int32_t row, column, i;
  depthwise_pixel pixel;
  memset(scratch, p->input_zero, (size_t)p->channels);
  start_pixels(&pixel, taps, kind == PAIR_1 ? 12 : 16, p);
  for (row = 0; row < p->output_height; row++) {
    const int32_t first_row = row * p->stride_height - p->pad_top;
    const int8_t *top = row_at(input, first_row, p);
    const int8_t *middle = row_at(input, first_row + p->dilation_height, p);
    const int8_t *bottom = row_at(input, first_row + 2 * p->dilation_height, p);
    const int32_t inside = top != NULL && middle != NULL && bottom != NULL;
    int32_t started = 0;
    int32_t left = -p->pad_left;
    for (column = 0; column < p->output_width; column += 2) {
      const int32_t step = column + 1 < p->output_width ? p->channels : 0;
      const int32_t shared = inside != 0 && left >= 0 && left + columns <= p->input_width;
      const int32_t origin = shared != 0 ? 0 : left;
      if (shared == 0 || started == 0) { /* all windows inside the input have the same pointers, from its edge */
        for (i = 0; i < columns; i++) {
          taps[2 * i] = pixel_at(top, origin + i, scratch, p);
          taps[2 * i + 1] = pixel_at(middle, origin + i, scratch, p);
          taps[2 * columns + i] = pixel_at(bottom, origin + i, scratch, p);
        }
        taps[15] = taps[14]; /* of stride 2: the third row's last column has nobody to share a word with */
      }
      started = shared;
      pixel.output = output;
      pixel.step = step;
      pixel.first = (left - origin) * p->channels;
      pixel.channels = pixel.first + whole;
      if (whole > 0) {
        make(&pixel);
      }
      if (whole < p->channels) {
        finish_in_c(&pixel, output, kind, step, p);
      }
      output += p->channels + step;
      left += 2 * p->stride_width;
    }
  }
}
