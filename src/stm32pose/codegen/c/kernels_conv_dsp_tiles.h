/* Tiles of convolutions: four pixels or one, two channels at a time. Written by stm32pose.

   In assembly here, in C in kernels_conv_dsp_tiles_c.h: GCC has more values in registers than it can keep there. */
#ifndef KERNELS_CONV_DSP_TILES_H
#define KERNELS_CONV_DSP_TILES_H

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

typedef void (*tile_maker)(const conv_tile *tile);

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
#include "kernels_conv_dsp_tiles_c.h"
#endif

#endif /* KERNELS_CONV_DSP_TILES_H */
