/* Convolutions and fully connected layers with the DSP instructions of Cortex-M. Written by stm32pose.

   The inputs of four pixels are spread to halves of words in scratch once, side by side, and then multiplied with two
   channels of weights at a time: eight sums stay in registers. Input is read as it is stored: its zero point is in the bias. */
#include "kernels_conv_dsp.h"

/* What a tile needs; the assembly knows the places of its members. */
typedef struct {
  const uint32_t *columns; /* 0: spread inputs, for each pair of factors one word for each pixel */
  const uint32_t *packed;  /* 4: as in the parameters */
  int8_t *output;          /* 8: of the first pixel */
  const int8_t *end;       /* 12: output, two bytes for each pair of channels later */
  int32_t step;            /* 16: bytes from pixel to pixel of the output */
  int32_t three_steps;     /* 20 */
  const uint32_t *last;    /* 24: end of `columns` */
  dsp_limits limits;       /* 28, 32, 36 */
  int32_t scaling;         /* for C alone */
} conv_tile;

#if KERNELS_DSP_ASSEMBLY

/* clang-format off */
/* Copies the tile to the stack and finds where the loop over fours of factors is entered, by their number modulo 4. The
   frame: the tile's members in order, but for 32 the place of entry, 36 middle, 40 back. */
#define ENTER(quad_bits, first)                                                                                        \
  "push {r4-r11, lr}\n"                                                                                                \
  "ldm r0, {r4-r11}\n"                                                                                                 \
  "ldrd r2, r3, [r0, #32]\n"                                                                                           \
  "sub sp, #44\n"                                                                                                      \
  "stm sp, {r4-r11}\n"                                                                                                 \
  "strd r2, r3, [sp, #36]\n"                                                                                           \
  "mov lr, r5\n"                                                                                                       \
  "subs r11, r10, r4\n"                                                                                                \
  "lsrs r11, r11, #" quad_bits "\n"                                                                                    \
  first                                                                                                                \
  "and r11, r11, #3\n"                                                                                                 \
  "2:\n"                                                                                                               \
  "adr.w r0, 9f\n"                                                                                                     \
  "ldr r1, [r0, r11, lsl #2]\n"                                                                                        \
  "adds r0, r0, r1\n"                                                                                                  \
  "str r0, [sp, #32]\n"

/* The first four factors are before the loop; no others: it is not entered. */
#define FIRST_APART                                                                                                    \
  "subs r11, r11, #1\n"                                                                                                \
  "itt eq\n"                                                                                                           \
  "moveq r11, #4\n"                                                                                                    \
  "beq 2f\n"

#define LEAVE                                                                                                          \
  "add sp, #44\n"                                                                                                      \
  "pop {r4-r11, pc}\n"                                                                                                 \
  ".align 2\n"                                                                                                         \
  "9: .word 10b + 1 - 9b\n"                                                                                            \
  ".word 11b + 1 - 9b\n"                                                                                               \
  ".word 12b + 1 - 9b\n"                                                                                               \
  ".word 13b + 1 - 9b\n"                                                                                               \
  ".word 14b + 1 - 9b\n"

/* Two factors of two channels and four pixels: r4-r7 are the first channel's sums, r8-r11 the second's. */
#define PAIR_4                                                                                                         \
  "ldr r0, [lr], #4\n"                                                                                                 \
  "ldrd r2, r3, [r12], #8\n"                                                                                           \
  "sxtb16 r1, r0, ror #8\n"                                                                                            \
  "sxtb16 r0, r0\n"                                                                                                    \
  "smlad r4, r0, r2, r4\n"                                                                                             \
  "smlad r8, r1, r2, r8\n"                                                                                             \
  "smlad r5, r0, r3, r5\n"                                                                                             \
  "smlad r9, r1, r3, r9\n"                                                                                             \
  "ldrd r2, r3, [r12], #8\n"                                                                                           \
  "smlad r6, r0, r2, r6\n"                                                                                             \
  "smlad r10, r1, r2, r10\n"                                                                                           \
  "smlad r7, r0, r3, r7\n"                                                                                             \
  "smlad r11, r1, r3, r11\n"

/* The same for the first two factors: r4 and r8 are the biases. */
#define START_4                                                                                                        \
  "ldr r0, [lr], #4\n"                                                                                                 \
  "ldrd r2, r3, [r12], #8\n"                                                                                           \
  "sxtb16 r1, r0, ror #8\n"                                                                                            \
  "sxtb16 r0, r0\n"                                                                                                    \
  "smlad r5, r0, r3, r4\n"                                                                                             \
  "ldrd r6, r7, [r12], #8\n"                                                                                           \
  "smlad r9, r1, r3, r8\n"                                                                                             \
  "smlad r10, r1, r6, r8\n"                                                                                            \
  "smlad r6, r0, r6, r4\n"                                                                                             \
  "smlad r11, r1, r7, r8\n"                                                                                            \
  "smlad r7, r0, r7, r4\n"                                                                                             \
  "smlad r4, r0, r2, r4\n"                                                                                             \
  "smlad r8, r1, r2, r8\n"

/* All factors of two channels and four pixels. */
#define SUMS_4                                                                                                         \
  "1:\n"                                                                                                               \
  "ldmia lr!, {r4, r8}\n"                                                                                              \
  "ldr r12, [sp, #0]\n"                                                                                                \
  START_4 PAIR_4                                                                                                       \
  "ldr pc, [sp, #32]\n"                                                                                                \
  "10:\n" PAIR_4 PAIR_4                                                                                                \
  "13:\n" PAIR_4 PAIR_4                                                                                                \
  "12:\n" PAIR_4 PAIR_4                                                                                                \
  "11:\n" PAIR_4 PAIR_4                                                                                                \
  "ldr r0, [sp, #24]\n"                                                                                                \
  "cmp r12, r0\n"                                                                                                      \
  "bne 10b\n"                                                                                                          \
  "14:\n"

#define HALVES_AWAY_4                                                                                                  \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "add r5, r5, r5, asr #31\n"                                                                                          \
  "add r6, r6, r6, asr #31\n"                                                                                          \
  "add r7, r7, r7, asr #31\n"                                                                                          \
  "add r8, r8, r8, asr #31\n"                                                                                          \
  "add r9, r9, r9, asr #31\n"                                                                                          \
  "add r10, r10, r10, asr #31\n"                                                                                       \
  "add r11, r11, r11, asr #31\n"

/* dsp_scale of eight sums: DSP_SCALE_RELU, and with HALVES_AWAY_4 DSP_SCALE_PLAIN. */
#define SCALE_4(halves)                                                                                                \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldr r12, [sp, #28]\n"                                                                                               \
  "smmlar r4, r4, r0, r4\n"                                                                                            \
  "smmlar r5, r5, r0, r5\n"                                                                                            \
  "smmlar r6, r6, r0, r6\n"                                                                                            \
  "smmlar r7, r7, r0, r7\n"                                                                                            \
  "smmlar r8, r8, r2, r8\n"                                                                                            \
  "smmlar r9, r9, r2, r9\n"                                                                                            \
  "smmlar r10, r10, r2, r10\n"                                                                                         \
  "smmlar r11, r11, r2, r11\n"                                                                                         \
  halves                                                                                                               \
  "smmlar r4, r4, r1, r12\n"                                                                                           \
  "smmlar r5, r5, r1, r12\n"                                                                                           \
  "smmlar r6, r6, r1, r12\n"                                                                                           \
  "smmlar r7, r7, r1, r12\n"                                                                                           \
  "smmlar r8, r8, r3, r12\n"                                                                                           \
  "smmlar r9, r9, r3, r12\n"                                                                                           \
  "smmlar r10, r10, r3, r12\n"                                                                                         \
  "smmlar r11, r11, r3, r12\n"                                                                                         \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "ssat r8, #8, r8\n"                                                                                                  \
  "ssat r9, #8, r9\n"                                                                                                  \
  "ssat r10, #8, r10\n"                                                                                                \
  "ssat r11, #8, r11\n"

/* DSP_SCALE_GENERAL of eight sums. */
#define GENERAL_4                                                                                                      \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldr r12, [sp, #28]\n"                                                                                               \
  "lsl r4, r4, r1\n"                                                                                                   \
  "lsl r5, r5, r1\n"                                                                                                   \
  "lsl r6, r6, r1\n"                                                                                                   \
  "lsl r7, r7, r1\n"                                                                                                   \
  "smmlar r4, r4, r0, r4\n"                                                                                            \
  "smmlar r5, r5, r0, r5\n"                                                                                            \
  "smmlar r6, r6, r0, r6\n"                                                                                            \
  "smmlar r7, r7, r0, r7\n"                                                                                            \
  "lsl r4, r4, r2\n"                                                                                                   \
  "lsl r5, r5, r2\n"                                                                                                   \
  "lsl r6, r6, r2\n"                                                                                                   \
  "lsl r7, r7, r2\n"                                                                                                   \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "add r5, r5, r5, asr #31\n"                                                                                          \
  "add r6, r6, r6, asr #31\n"                                                                                          \
  "add r7, r7, r7, asr #31\n"                                                                                          \
  "smmlsr r4, r4, r3, r12\n"                                                                                           \
  "smmlsr r5, r5, r3, r12\n"                                                                                           \
  "smmlsr r6, r6, r3, r12\n"                                                                                           \
  "smmlsr r7, r7, r3, r12\n"                                                                                           \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "lsl r8, r8, r1\n"                                                                                                   \
  "lsl r9, r9, r1\n"                                                                                                   \
  "lsl r10, r10, r1\n"                                                                                                 \
  "lsl r11, r11, r1\n"                                                                                                 \
  "smmlar r8, r8, r0, r8\n"                                                                                            \
  "smmlar r9, r9, r0, r9\n"                                                                                            \
  "smmlar r10, r10, r0, r10\n"                                                                                         \
  "smmlar r11, r11, r0, r11\n"                                                                                         \
  "lsl r8, r8, r2\n"                                                                                                   \
  "lsl r9, r9, r2\n"                                                                                                   \
  "lsl r10, r10, r2\n"                                                                                                 \
  "lsl r11, r11, r2\n"                                                                                                 \
  "add r8, r8, r8, asr #31\n"                                                                                          \
  "add r9, r9, r9, asr #31\n"                                                                                          \
  "add r10, r10, r10, asr #31\n"                                                                                       \
  "add r11, r11, r11, asr #31\n"                                                                                       \
  "smmlsr r8, r8, r3, r12\n"                                                                                           \
  "smmlsr r9, r9, r3, r12\n"                                                                                           \
  "smmlsr r10, r10, r3, r12\n"                                                                                         \
  "smmlsr r11, r11, r3, r12\n"                                                                                         \
  "ldrd r0, r1, [sp, #36]\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "ssat r8, #8, r8\n"                                                                                                  \
  "ssat r9, #8, r9\n"                                                                                                  \
  "ssat r10, #8, r10\n"                                                                                                \
  "ssat r11, #8, r11\n"                                                                                                \
  "add r4, r4, r0\n"                                                                                                   \
  "add r5, r5, r0\n"                                                                                                   \
  "add r6, r6, r0\n"                                                                                                   \
  "add r7, r7, r0\n"                                                                                                   \
  "add r8, r8, r0\n"                                                                                                   \
  "add r9, r9, r0\n"                                                                                                   \
  "add r10, r10, r0\n"                                                                                                 \
  "add r11, r11, r0\n"                                                                                                 \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "ssat r8, #8, r8\n"                                                                                                  \
  "ssat r9, #8, r9\n"                                                                                                  \
  "ssat r10, #8, r10\n"                                                                                                \
  "ssat r11, #8, r11\n"                                                                                                \
  "add r4, r4, r1\n"                                                                                                   \
  "add r5, r5, r1\n"                                                                                                   \
  "add r6, r6, r1\n"                                                                                                   \
  "add r7, r7, r1\n"                                                                                                   \
  "add r8, r8, r1\n"                                                                                                   \
  "add r9, r9, r1\n"                                                                                                   \
  "add r10, r10, r1\n"                                                                                                 \
  "add r11, r11, r1\n"

/* DSP_SCALE_FLOAT of eight sums. */
#define FLOAT_4                                                                                                        \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldr r12, [sp, #28]\n"                                                                                               \
  "vmov s0, r0\n"                                                                                                      \
  "vmov s1, r2\n"                                                                                                      \
  "vmov s4, s5, r4, r5\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s0\n"                                                                                              \
  "vmul.f32 s5, s5, s0\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r4, r5, s4, s5\n"                                                                                              \
  "vmov s4, s5, r6, r7\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s0\n"                                                                                              \
  "vmul.f32 s5, s5, s0\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r6, r7, s4, s5\n"                                                                                              \
  "vmov s4, s5, r8, r9\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s1\n"                                                                                              \
  "vmul.f32 s5, s5, s1\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r8, r9, s4, s5\n"                                                                                              \
  "vmov s4, s5, r10, r11\n"                                                                                            \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s1\n"                                                                                              \
  "vmul.f32 s5, s5, s1\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r10, r11, s4, s5\n"                                                                                            \
  "qadd r4, r4, r12\n"                                                                                                 \
  "qadd r5, r5, r12\n"                                                                                                 \
  "qadd r6, r6, r12\n"                                                                                                 \
  "qadd r7, r7, r12\n"                                                                                                 \
  "qadd r8, r8, r12\n"                                                                                                 \
  "qadd r9, r9, r12\n"                                                                                                 \
  "qadd r10, r10, r12\n"                                                                                               \
  "qadd r11, r11, r12\n"                                                                                               \
  "ldrd r0, r1, [sp, #36]\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "ssat r8, #8, r8\n"                                                                                                  \
  "ssat r9, #8, r9\n"                                                                                                  \
  "ssat r10, #8, r10\n"                                                                                                \
  "ssat r11, #8, r11\n"                                                                                                \
  "add r4, r4, r0\n"                                                                                                   \
  "add r5, r5, r0\n"                                                                                                   \
  "add r6, r6, r0\n"                                                                                                   \
  "add r7, r7, r0\n"                                                                                                   \
  "add r8, r8, r0\n"                                                                                                   \
  "add r9, r9, r0\n"                                                                                                   \
  "add r10, r10, r0\n"                                                                                                 \
  "add r11, r11, r0\n"                                                                                                 \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "ssat r6, #8, r6\n"                                                                                                  \
  "ssat r7, #8, r7\n"                                                                                                  \
  "ssat r8, #8, r8\n"                                                                                                  \
  "ssat r9, #8, r9\n"                                                                                                  \
  "ssat r10, #8, r10\n"                                                                                                \
  "ssat r11, #8, r11\n"                                                                                                \
  "add r4, r4, r1\n"                                                                                                   \
  "add r5, r5, r1\n"                                                                                                   \
  "add r6, r6, r1\n"                                                                                                   \
  "add r7, r7, r1\n"                                                                                                   \
  "add r8, r8, r1\n"                                                                                                   \
  "add r9, r9, r1\n"                                                                                                   \
  "add r10, r10, r1\n"                                                                                                 \
  "add r11, r11, r1\n"

/* Eight outputs, and on to the next two channels. */
#define STORE_4                                                                                                        \
  "ldrd r0, r1, [sp, #8]\n"                                                                                            \
  "ldrd r2, r3, [sp, #16]\n"                                                                                           \
  "strb r5, [r0, r2]\n"                                                                                                \
  "strb r6, [r0, r2, lsl #1]\n"                                                                                        \
  "strb r7, [r0, r3]\n"                                                                                                \
  "strb r4, [r0], #1\n"                                                                                                \
  "strb r9, [r0, r2]\n"                                                                                                \
  "strb r10, [r0, r2, lsl #1]\n"                                                                                       \
  "strb r11, [r0, r3]\n"                                                                                               \
  "strb r8, [r0], #1\n"                                                                                                \
  "cmp r0, r1\n"                                                                                                       \
  "str r0, [sp, #8]\n"                                                                                                 \
  "bne 1b\n"

/* Four factors of two channels and one pixel; r4 and r5 are the sums. */
#define QUAD_1                                                                                                         \
  "ldrd r0, r1, [lr], #8\n"                                                                                            \
  "ldrd r6, r7, [r12], #8\n"                                                                                           \
  "sxtb16 r10, r0\n"                                                                                                   \
  "sxtb16 r11, r0, ror #8\n"                                                                                           \
  "smlad r4, r10, r6, r4\n"                                                                                            \
  "smlad r5, r11, r6, r5\n"                                                                                            \
  "sxtb16 r10, r1\n"                                                                                                   \
  "sxtb16 r11, r1, ror #8\n"                                                                                           \
  "smlad r4, r10, r7, r4\n"                                                                                            \
  "smlad r5, r11, r7, r5\n"

/* Eight factors. */
#define OCTET_1                                                                                                        \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldmia r12!, {r6-r9}\n"                                                                                              \
  "sxtb16 r10, r0\n"                                                                                                   \
  "sxtb16 r11, r0, ror #8\n"                                                                                           \
  "smlad r4, r10, r6, r4\n"                                                                                            \
  "smlad r5, r11, r6, r5\n"                                                                                            \
  "sxtb16 r10, r1\n"                                                                                                   \
  "sxtb16 r11, r1, ror #8\n"                                                                                           \
  "smlad r4, r10, r7, r4\n"                                                                                            \
  "smlad r5, r11, r7, r5\n"                                                                                            \
  "sxtb16 r10, r2\n"                                                                                                   \
  "sxtb16 r11, r2, ror #8\n"                                                                                           \
  "smlad r4, r10, r8, r4\n"                                                                                            \
  "smlad r5, r11, r8, r5\n"                                                                                            \
  "sxtb16 r10, r3\n"                                                                                                   \
  "sxtb16 r11, r3, ror #8\n"                                                                                           \
  "smlad r4, r10, r9, r4\n"                                                                                            \
  "smlad r5, r11, r9, r5\n"

#define SUMS_1                                                                                                         \
  "1:\n"                                                                                                               \
  "ldmia lr!, {r4, r5}\n"                                                                                              \
  "ldr r12, [sp, #0]\n"                                                                                                \
  "ldr pc, [sp, #32]\n"                                                                                                \
  "13:\n" QUAD_1                                                                                                       \
  "b 12f\n"                                                                                                            \
  "11:\n" QUAD_1                                                                                                       \
  "b 14f\n"                                                                                                            \
  "10:\n" OCTET_1                                                                                                      \
  "12:\n" OCTET_1                                                                                                      \
  "14:\n"                                                                                                              \
  "ldr r0, [sp, #24]\n"                                                                                                \
  "cmp r12, r0\n"                                                                                                      \
  "bne 10b\n"

#define HALVES_AWAY_1                                                                                                  \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "add r5, r5, r5, asr #31\n"

#define SCALE_1(halves)                                                                                                \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldr r12, [sp, #28]\n"                                                                                               \
  "smmlar r4, r4, r0, r4\n"                                                                                            \
  "smmlar r5, r5, r2, r5\n"                                                                                            \
  halves                                                                                                               \
  "smmlar r4, r4, r1, r12\n"                                                                                           \
  "smmlar r5, r5, r3, r12\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"

#define GENERAL_1                                                                                                      \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldr r12, [sp, #28]\n"                                                                                               \
  "lsl r4, r4, r1\n"                                                                                                   \
  "smmlar r4, r4, r0, r4\n"                                                                                            \
  "lsl r4, r4, r2\n"                                                                                                   \
  "add r4, r4, r4, asr #31\n"                                                                                          \
  "smmlsr r4, r4, r3, r12\n"                                                                                           \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "lsl r5, r5, r1\n"                                                                                                   \
  "smmlar r5, r5, r0, r5\n"                                                                                            \
  "lsl r5, r5, r2\n"                                                                                                   \
  "add r5, r5, r5, asr #31\n"                                                                                          \
  "smmlsr r5, r5, r3, r12\n"                                                                                           \
  "ldrd r0, r1, [sp, #36]\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "add r4, r4, r0\n"                                                                                                   \
  "add r5, r5, r0\n"                                                                                                   \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "add r4, r4, r1\n"                                                                                                   \
  "add r5, r5, r1\n"

#define FLOAT_1                                                                                                        \
  "ldmia lr!, {r0-r3}\n"                                                                                               \
  "ldr r12, [sp, #28]\n"                                                                                               \
  "vmov s0, r0\n"                                                                                                      \
  "vmov s1, r2\n"                                                                                                      \
  "vmov s4, s5, r4, r5\n"                                                                                              \
  "vcvt.f32.s32 s4, s4\n"                                                                                              \
  "vcvt.f32.s32 s5, s5\n"                                                                                              \
  "vmul.f32 s4, s4, s0\n"                                                                                              \
  "vmul.f32 s5, s5, s1\n"                                                                                              \
  "vcvtr.s32.f32 s4, s4\n"                                                                                             \
  "vcvtr.s32.f32 s5, s5\n"                                                                                             \
  "vmov r4, r5, s4, s5\n"                                                                                              \
  "qadd r4, r4, r12\n"                                                                                                 \
  "qadd r5, r5, r12\n"                                                                                                 \
  "ldrd r0, r1, [sp, #36]\n"                                                                                           \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "add r4, r4, r0\n"                                                                                                   \
  "add r5, r5, r0\n"                                                                                                   \
  "ssat r4, #8, r4\n"                                                                                                  \
  "ssat r5, #8, r5\n"                                                                                                  \
  "add r4, r4, r1\n"                                                                                                   \
  "add r5, r5, r1\n"

#define STORE_1                                                                                                        \
  "ldrd r0, r1, [sp, #8]\n"                                                                                            \
  "strb r4, [r0], #1\n"                                                                                                \
  "strb r5, [r0], #1\n"                                                                                                \
  "cmp r0, r1\n"                                                                                                       \
  "str r0, [sp, #8]\n"                                                                                                 \
  "bne 1b\n"

#if NETWORK_ROUNDING_FLOAT
DSP_NAKED static void tile_4_float(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("5", FIRST_APART) SUMS_4 FLOAT_4 STORE_4 LEAVE);
}

DSP_NAKED static void tile_1_float(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("3", "") SUMS_1 FLOAT_1 STORE_1 LEAVE);
}
#else
DSP_NAKED static void tile_4_relu(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("5", FIRST_APART) SUMS_4 SCALE_4("") STORE_4 LEAVE);
}

DSP_NAKED static void tile_4_plain(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("5", FIRST_APART) SUMS_4 SCALE_4(HALVES_AWAY_4) STORE_4 LEAVE);
}

DSP_NAKED static void tile_4_general(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("5", FIRST_APART) SUMS_4 GENERAL_4 STORE_4 LEAVE);
}

DSP_NAKED static void tile_1_relu(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("3", "") SUMS_1 SCALE_1("") STORE_1 LEAVE);
}

DSP_NAKED static void tile_1_plain(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("3", "") SUMS_1 SCALE_1(HALVES_AWAY_1) STORE_1 LEAVE);
}

DSP_NAKED static void tile_1_general(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("3", "") SUMS_1 GENERAL_1 STORE_1 LEAVE);
}
#endif

/* The sums of one pair of channels as they are, int32, where the output would be. */
DSP_NAKED static void tile_4_sums(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("5", FIRST_APART) SUMS_4
                   "ldr r0, [sp, #8]\n"
                   "stm r0, {r4-r11}\n" LEAVE);
}

DSP_NAKED static void tile_1_sums(const conv_tile *tile __attribute__((unused)))
{
  __asm__ volatile(ENTER("3", "") SUMS_1
                   "ldr r0, [sp, #8]\n"
                   "stm r0, {r4-r5}\n" LEAVE);
}

/* Four pixels of `words` words each, `step` bytes apart, to words of halves; returns the end of what is written. */
DSP_NAKED static uint32_t *spread_4(const int8_t *input __attribute__((unused)), uint32_t *to __attribute__((unused)),
                                    int32_t step __attribute__((unused)), int32_t words __attribute__((unused)))
{
  __asm__ volatile("push {r4-r11}\n"
                   "add r12, r2, r2, lsl #1\n"
                   "1:\n"
                   "ldr r5, [r0, r2]\n"
                   "ldr r6, [r0, r2, lsl #1]\n"
                   "ldr r7, [r0, r12]\n"
                   "ldr r4, [r0], #4\n"
                   "sxtb16 r8, r4\n"
                   "sxtb16 r9, r5\n"
                   "sxtb16 r10, r6\n"
                   "sxtb16 r11, r7\n"
                   "stm r1!, {r8-r11}\n"
                   "sxtb16 r4, r4, ror #8\n"
                   "sxtb16 r5, r5, ror #8\n"
                   "sxtb16 r6, r6, ror #8\n"
                   "sxtb16 r7, r7, ror #8\n"
                   "subs r3, #1\n"
                   "stm r1!, {r4-r7}\n"
                   "bne 1b\n"
                   "mov r0, r1\n"
                   "pop {r4-r11}\n"
                   "bx lr\n");
}
/* clang-format on */

#else

/* The sums of one pair of channels, those of the first channel before those of the second. */
static void pair_sums(const conv_tile *tile, const uint32_t *packed, int32_t pixels, uint32_t *sums)
{
  const uint32_t *weights = packed + 2;
  const uint32_t *column;
  int32_t pixel;
  for (pixel = 0; pixel < pixels; pixel++) {
    sums[pixel] = packed[0];
    sums[pixels + pixel] = packed[1];
  }
  for (column = tile->columns; column != tile->last; column += pixels) {
    for (pixel = 0; pixel < pixels; pixel++) {
      sums[pixel] = dsp_dual(dsp_even(*weights), column[pixel], sums[pixel]);
      sums[pixels + pixel] = dsp_dual(dsp_odd(*weights), column[pixel], sums[pixels + pixel]);
    }
    weights++;
  }
}

static void tile_scaled(const conv_tile *tile, int32_t pixels)
{
  const int32_t words = (int32_t)(tile->last - tile->columns) / pixels;
  const int32_t scale_words = dsp_scale_words(tile->scaling);
  const uint32_t *packed = tile->packed;
  uint32_t sums[8];
  int8_t *output;
  for (output = tile->output; output != tile->end; output += 2) {
    const uint32_t *scale = packed + 2 + words;
    int32_t i;
    pair_sums(tile, packed, pixels, sums);
    for (i = 0; i < 2 * pixels; i++) {
      const int32_t channel = i / pixels;
      output[(i % pixels) * tile->step + channel] =
          dsp_scale(sums[i], scale + scale_words * channel, &tile->limits, tile->scaling);
    }
    packed = scale + 2 * scale_words;
  }
}

static void tile_4_scaled(const conv_tile *tile)
{
  tile_scaled(tile, 4);
}

static void tile_1_scaled(const conv_tile *tile)
{
  tile_scaled(tile, 1);
}

static void tile_4_sums(const conv_tile *tile)
{
  uint32_t sums[8];
  pair_sums(tile, tile->packed, 4, sums);
  memcpy(tile->output, sums, sizeof sums);
}

static void tile_1_sums(const conv_tile *tile)
{
  uint32_t sums[2];
  pair_sums(tile, tile->packed, 1, sums);
  memcpy(tile->output, sums, sizeof sums);
}

static uint32_t *spread_4(const int8_t *input, uint32_t *to, int32_t step, int32_t words)
{
  int32_t word, pixel;
  for (word = 0; word < words; word++) {
    for (pixel = 0; pixel < 4; pixel++) {
      const uint32_t bytes = dsp_load(input + pixel * step + 4 * word);
      to[pixel] = dsp_even(bytes);
      to[4 + pixel] = dsp_odd(bytes);
    }
    to += 8;
  }
  return to;
}
#endif

typedef void (*tile_maker)(const conv_tile *tile);

/* What makes pairs of channels. */
static tile_maker maker_of(int32_t pixels, int32_t scaling)
{
#if !KERNELS_DSP_ASSEMBLY
  (void)scaling;
  return pixels == 4 ? tile_4_scaled : tile_1_scaled;
#elif NETWORK_ROUNDING_FLOAT
  (void)scaling;
  return pixels == 4 ? tile_4_float : tile_1_float;
#else
  static const tile_maker makers[2][3] = {{tile_1_relu, tile_1_plain, tile_1_general},
                                          {tile_4_relu, tile_4_plain, tile_4_general}};
  return makers[pixels == 4 ? 1 : 0][scaling <= DSP_SCALE_GENERAL ? scaling : DSP_SCALE_GENERAL];
#endif
}

/* `words` words of one pixel to words of halves, `lanes` words apart; returns the end. */
static uint32_t *spread_lane(const int8_t *input, uint32_t *to, int32_t lanes, int32_t words)
{
  int32_t word;
  for (word = 0; word < words; word++) {
    const uint32_t bytes = dsp_load(input);
    to[0] = dsp_even(bytes);
    to[lanes] = dsp_odd(bytes);
    input += 4;
    to += 2 * lanes;
  }
  return to;
}

static uint32_t *fill_lane(uint32_t *to, int32_t lanes, int32_t words, uint32_t halves)
{
  int32_t word;
  for (word = 0; word < 2 * words; word++) {
    *to = halves;
    to += lanes;
  }
  return to;
}

/* What all tiles have in common. */
static void start_tiles(conv_tile *tile, const uint32_t *columns, const conv_dsp_params *p)
{
  tile->columns = columns;
  tile->step = p->output_channels;
  tile->three_steps = 3 * p->output_channels;
  tile->limits = dsp_limits_of(p->scaling, p->output_zero, p->activation_min, p->activation_max);
  tile->scaling = p->scaling;
}

/* Channels from `channel` on by requantize(). `tile->packed` is at the first of them. */
static void finish_in_c(conv_tile *tile, int32_t pixels, int8_t *output, int32_t channel, const conv_dsp_params *p)
{
  const int32_t scale_words = dsp_scale_words(p->scaling);
  int32_t pixel, i;
  for (; channel < p->output_channels; channel += 2) {
    const uint32_t *scale = tile->packed + 2 + p->depth / 2;
    int32_t sums[8];
    tile->output = (int8_t *)sums;
    (pixels == 4 ? tile_4_sums : tile_1_sums)(tile);
    tile->packed = scale + 2 * scale_words;
    for (i = 0; i < 2 && channel + i < p->output_channels; i++) {
      for (pixel = 0; pixel < pixels; pixel++) {
        const int32_t value =
            dsp_requantize(sums[i * pixels + pixel], scale + scale_words * i, p->scaling == DSP_SCALE_ONCE);
        output[pixel * p->output_channels + channel + i] =
            (int8_t)clamp(value + p->output_zero, p->activation_min, p->activation_max);
      }
    }
  }
}

/* All channels of one tile of `pixels` pixels, 4 or 1. */
static void finish_tile(conv_tile *tile, int32_t pixels, int8_t *output, const conv_dsp_params *p)
{
  const int32_t paired = p->scaling < DSP_SCALE_C ? p->output_channels & ~1 : 0;
  tile->packed = p->packed;
  tile->last = tile->columns + pixels * (p->depth / 2);
  if (paired > 0) {
    tile->output = output;
    tile->end = output + paired;
    maker_of(pixels, p->scaling)(tile);
  }
  if (paired < p->output_channels) {
    tile->packed += (paired / 2) * (2 + p->depth / 2 + 2 * dsp_scale_words(p->scaling));
    finish_in_c(tile, pixels, output, paired, p);
  }
}

/* The window of one pixel, which begins at row `top` and column `left` of the input, to lane `to` of `lanes`. */
static void gather_lane(const int8_t *input, uint32_t *to, int32_t lanes, int32_t top, int32_t left,
                        const conv_dsp_params *p)
{
  const int32_t words = p->input_channels / 4;
  const uint32_t zero = ((uint32_t)p->input_zero & 0xFFFFu) * 0x10001u;
  int32_t i, j;
  for (i = 0; i < p->kernel_height; i++) {
    const int32_t row = top + i * p->dilation_height;
    const int8_t *line = input + row * p->input_width * p->input_channels;
    const int32_t last = left + (p->kernel_width - 1) * p->dilation_width;
    if (row < 0 || row >= p->input_height) {
      to = fill_lane(to, lanes, words * p->kernel_width, zero);
    } else if (p->dilation_width == 1 && left >= 0 && last < p->input_width) {
      to = spread_lane(line + left * p->input_channels, to, lanes, words * p->kernel_width);
    } else {
      for (j = 0; j < p->kernel_width; j++) {
        const int32_t column = left + j * p->dilation_width;
        if (column < 0 || column >= p->input_width) {
          to = fill_lane(to, lanes, words, zero);
        } else {
          to = spread_lane(line + column * p->input_channels, to, lanes, words);
        }
      }
    }
  }
}

/* As gather_lane, of channels that are no multiple of 4: to `depth` bytes. */
static void gather_bytes(const int8_t *input, int8_t *to, int32_t top, int32_t left, const conv_dsp_params *p)
{
  const int32_t channels = p->input_channels;
  const int32_t used = p->kernel_height * p->kernel_width * channels;
  int32_t i, j, k;
  for (k = used; k < p->depth; k++) {
    to[k] = 0;
  }
  for (i = 0; i < p->kernel_height; i++) {
    const int32_t row = top + i * p->dilation_height;
    const int8_t *line = input + row * p->input_width * channels;
    const int32_t last = left + (p->kernel_width - 1) * p->dilation_width;
    if (row < 0 || row >= p->input_height) {
      memset(to, p->input_zero, (size_t)(channels * p->kernel_width));
      to += channels * p->kernel_width;
    } else if (p->dilation_width == 1 && left >= 0 && last < p->input_width) {
      const int8_t *from = line + left * channels;
      for (k = channels * p->kernel_width; k >= 4; k -= 4) {
        memcpy(to, from, 4);
        to += 4;
        from += 4;
      }
      for (; k > 0; k--) {
        *to++ = *from++;
      }
    } else {
      for (j = 0; j < p->kernel_width; j++) {
        const int32_t column = left + j * p->dilation_width;
        for (k = 0; k < channels; k++) {
          *to++ = (column < 0 || column >= p->input_width) ? (int8_t)p->input_zero : line[column * channels + k];
        }
      }
    }
  }
}

/* As gather_bytes of a window inside the input, by words. Up to three bytes more than the window's are read and written:
   the next row's are put over them, or they meet weights of 0, or lie in the slack of the scratch. */
static void gather_words(const int8_t *from, int8_t *to, const conv_dsp_params *p)
{
  const int32_t count = p->kernel_width * p->input_channels;
  const int32_t down = p->dilation_height * p->input_width * p->input_channels;
  int32_t rows, k;
  for (rows = p->kernel_height; rows > 0; rows--) {
    if (count == 9) { /* three colours */
      memcpy(to, from, 4);
      memcpy(to + 4, from + 4, 4);
      to[8] = from[8];
    } else {
      for (k = 0; k < count; k += 4) {
        memcpy(to + k, from + k, 4);
      }
    }
    from += down;
    to += count;
  }
}

/* Four windows in one row, all inside the input. */
static void gather_4(const int8_t *input, uint32_t *to, int32_t top, int32_t left, const conv_dsp_params *p)
{
  const int32_t words = p->input_channels / 4;
  const int32_t step = p->stride_width * p->input_channels;
  int32_t i, j;
  for (i = 0; i < p->kernel_height; i++) {
    const int8_t *from = input + ((top + i * p->dilation_height) * p->input_width + left) * p->input_channels;
    if (p->dilation_width == 1) {
      to = spread_4(from, to, step, words * p->kernel_width);
    } else {
      for (j = 0; j < p->kernel_width; j++) {
        to = spread_4(from, to, step, words);
        from += p->dilation_width * p->input_channels;
      }
    }
  }
}

/* `pixels` windows from output pixel (`row`, `column`) on, which goes on to the next after them. `bytes` is room for
   windows of channels that are no multiple of 4. */
static void gather(const int8_t *input, uint32_t *columns, int8_t *bytes, int32_t *row, int32_t *column, int32_t pixels,
                   const conv_dsp_params *p)
{
  const int32_t whole = (p->input_channels & 3) == 0;
  const int32_t reach_down = (p->kernel_height - 1) * p->dilation_height;
  /* Windows that reach the last row, or one of the last if rows are short, are not read beyond their end. */
  const int32_t last_row = p->input_height - 1 - 3 / (p->input_width * p->input_channels);
  int32_t top = *row * p->stride_height - p->pad_top;
  int32_t left = *column * p->stride_width - p->pad_left;
  int32_t pixel;
  for (pixel = 0; pixel < pixels; pixel++) {
    if (whole != 0) {
      gather_lane(input, columns + pixel, pixels, top, left, p);
    } else if (top >= 0 && left >= 0 && p->dilation_width == 1 && top + reach_down < last_row &&
               left + p->kernel_width <= p->input_width) {
      gather_words(input + (top * p->input_width + left) * p->input_channels, bytes + pixel * p->depth, p);
    } else {
      gather_bytes(input, bytes + pixel * p->depth, top, left, p);
    }
    left += p->stride_width;
    if (++*column == p->output_width) {
      *column = 0;
      ++*row;
      left = -p->pad_left;
      top += p->stride_height;
    }
  }
  if (whole == 0 && pixels == 4) {
    (void)spread_4(bytes, columns, p->depth, p->depth / 4);
  } else if (whole == 0) {
    (void)spread_lane(bytes, columns, 1, p->depth / 4);
  }
}

void conv_dsp(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p)
{
  uint32_t *columns = scratch;
  int8_t *bytes = (int8_t *)(columns + 2 * p->depth);
  const int32_t whole = (p->input_channels & 3) == 0;
  const int32_t reach_down = (p->kernel_height - 1) * p->dilation_height;
  const int32_t reach_right = 3 * p->stride_width + (p->kernel_width - 1) * p->dilation_width;
  int32_t left_over = p->output_height * p->output_width;
  int32_t row = 0, column = 0;
  conv_tile tile;
  start_tiles(&tile, columns, p);
  while (left_over > 0) {
    const int32_t pixels = left_over >= 4 ? 4 : 1;
    const int32_t top = row * p->stride_height - p->pad_top;
    const int32_t left = column * p->stride_width - p->pad_left;
    if (whole && pixels == 4 && column + 4 <= p->output_width && top >= 0 && left >= 0 &&
        top + reach_down < p->input_height && left + reach_right < p->input_width) {
      gather_4(input, columns, top, left, p);
      column += 4;
      if (column == p->output_width) {
        column = 0;
        row++;
      }
    } else {
      gather(input, columns, bytes, &row, &column, pixels, p);
    }
    finish_tile(&tile, pixels, output, p);
    output += pixels * p->output_channels;
    left_over -= pixels;
  }
}

void conv_1x1_dsp(const int8_t *input, int8_t *output, void *scratch, const conv_dsp_params *p)
{
  uint32_t *columns = scratch;
  int8_t *bytes = (int8_t *)(columns + 2 * p->depth);
  const int32_t channels = p->input_channels;
  int32_t left_over = p->output_height * p->output_width;
  conv_tile tile;
  start_tiles(&tile, columns, p);
  while (left_over > 0) {
    const int32_t pixels = left_over >= 4 ? 4 : 1;
    const int8_t *from = input;
    int32_t pixel;
    if (p->depth != channels) {
      for (pixel = 0; pixel < pixels; pixel++) {
        memcpy(bytes + pixel * p->depth, input + pixel * channels, (size_t)channels);
        memset(bytes + pixel * p->depth + channels, 0, (size_t)(p->depth - channels));
      }
      from = bytes;
    }
    if (pixels == 4) {
      (void)spread_4(from, columns, p->depth, p->depth / 4);
    } else {
      (void)spread_lane(from, columns, 1, p->depth / 4);
    }
    finish_tile(&tile, pixels, output, p);
    input += pixels * channels;
    output += pixels * p->output_channels;
    left_over -= pixels;
  }
}
